//! `noisesearch download`, against a made-up hub on this machine.

use crate::common::{Ended, Scratch};
use crate::hub_server::{COMMIT, REPOSITORY, Server, hub, response};
use std::path::PathBuf;

fn download(scratch: &Scratch, server: &Server, more: &[&str]) -> Ended {
    let variables = [
        ("HF_ENDPOINT", PathBuf::from(server.url())),
        ("HF_HUB_CACHE", scratch.path("hub")),
        ("HF_TOKEN", PathBuf::from("hf_secret")),
        ("HF_HUB_OFFLINE", PathBuf::from("0")),
    ];
    let ended = scratch.run_with(&[&["download"], more].concat(), &variables);
    assert!(!ended.err.contains("hf_secret"), "{ended:?}");
    ended
}

/// `hub` is part of the name by which `cargo xtask test` finds these tests.
#[test]
fn hub_download_shows_size_and_licence_and_needs_a_yes() {
    let (scratch, server) = (Scratch::new("download"), Server::start(hub));
    let asked = download(&scratch, &server, &[REPOSITORY]);
    assert_eq!(asked.code, Some(1), "{asked:?}");
    for says in ["licence: mit", "3 files, 0 MB", COMMIT, "add --yes"] {
        assert!(asked.err.contains(says), "{says}: {}", asked.err);
    }
    assert!(!scratch.path("hub").exists());
    assert_eq!(server.requests().len(), 1);
    let snapshot = format!("hub/models--made-up--tiny/snapshots/{COMMIT}");
    for requests in [4, 1] {
        let done = download(&scratch, &server, &[REPOSITORY, "--yes"]);
        assert_eq!(done.code, Some(0), "{done:?}");
        assert!(done.err.contains(&snapshot), "{done:?}");
        assert!(scratch.path(&snapshot).join("model_index.json").exists());
        assert_eq!(server.requests().len(), requests);
    }
}

#[test]
fn hub_download_says_what_is_wrong() {
    let scratch = Scratch::new("download-wrong");
    let server = Server::start(|_| response("403 Forbidden", "x-error-code: GatedRepo\r\n", b""));
    for (name, code, says) in [
        (REPOSITORY, 2, "asks to accept its licence first"),
        (
            "flux.1-dev",
            2,
            "https://huggingface.co/black-forest-labs/FLUX.1-dev",
        ),
        ("sit-xl-2-256", 2, "scripts/convert_sit.py"),
        ("imagereward", 2, "scripts/convert_image_reward.py"),
        (
            "nothing",
            1,
            "no published model or verifier and no org/name",
        ),
    ] {
        let ended = download(&scratch, &server, &[name, "--yes"]);
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert!(ended.err.contains(says), "{name}: {}", ended.err);
    }
    assert!(!scratch.path("hub").exists());
}
