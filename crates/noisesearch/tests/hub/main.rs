//! Downloads against a made-up hub on this machine.

mod server;

use noisesearch::download::{Client, DownloadError, Hub, Order, Plan, Settings, fetch, orders};
use server::{COMMIT, LARGE, REPOSITORY, Request, Server, file, hub, listing, part, response};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const TOKEN: &str = "hf_secret";

/// A cache of its own.
fn cache(name: &str) -> Hub {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("hub-{name}"));
    drop(std::fs::remove_dir_all(&path));
    Hub::at(path)
}

fn settings(url: &str) -> Result<Settings, DownloadError> {
    let mut settings = Settings::from_variables(|name| match name {
        "HF_ENDPOINT" => Some(url.to_owned()),
        "HF_TOKEN" => Some(TOKEN.to_owned()),
        _ => None,
    })?;
    settings.first_delay = Duration::from_millis(1);
    Ok(settings)
}

fn client(server: &Server) -> Client {
    Client::new(settings(&server.url()).unwrap())
}

fn order() -> Order {
    orders(REPOSITORY).unwrap().remove(0)
}

fn get(server: &Server, hub: &Hub) -> Result<PathBuf, DownloadError> {
    let client = client(server);
    let plan = client.plan(&order())?;
    fetch(&client, &plan, hub, &mut |_| {})
}

/// The error of a download, which never holds the token.
fn refusal(server: &Server, hub: &Hub) -> String {
    let error = get(server, hub).unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(!text.contains(TOKEN), "{text}");
    error.to_string()
}

/// All files are in the snapshot that the cache names, as links into it.
fn holds(hub: &Hub, snapshot: &Path) {
    assert_eq!(hub.snapshot(REPOSITORY).unwrap().unwrap(), snapshot);
    assert!(snapshot.ends_with(format!("models--made-up--tiny/snapshots/{COMMIT}")));
    for path in ["model_index.json", "unet/config.json", LARGE] {
        let link = snapshot.join(path);
        assert!(std::fs::read_link(&link).unwrap().is_relative());
        assert!(std::fs::read(&link).unwrap() == file(path), "{path}");
    }
    assert!(!snapshot.join("README.md").exists());
    let blobs = snapshot.join("../../blobs").read_dir().unwrap();
    let names = blobs.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(names.into_iter().all(|name| !name.contains('.')));
}

#[test]
fn a_repository_is_fetched_once() {
    let (server, hub) = (Server::start(hub), cache("fetched"));
    let client = client(&server);
    let plan = client.plan(&order()).unwrap();
    let bytes: usize = ["model_index.json", "unet/config.json", LARGE]
        .map(|p| file(p).len())
        .iter()
        .sum();
    assert_eq!(
        (plan.bytes(), plan.missing(&hub)),
        (bytes as u64, bytes as u64)
    );
    assert_eq!((&plan.licence[..], plan.files.len()), ("mit", 3));
    let mut seen = Vec::new();
    let snapshot = fetch(&client, &plan, &hub, &mut |p| seen.push((p.done, p.total))).unwrap();
    holds(&hub, &snapshot);
    assert!(seen.is_sorted() && seen.iter().all(|(_, total)| *total == bytes as u64));
    assert_eq!(seen.last().unwrap().0, bytes as u64);
    let requests = server.requests();
    assert_eq!(requests.len(), 4);
    let authorised = |r: &Request| r.head.contains(&format!("authorization: bearer {TOKEN}"));
    assert!(requests.iter().all(authorised));
    assert_eq!(plan.missing(&hub), 0);
    assert_eq!(fetch(&client, &plan, &hub, &mut |_| {}).unwrap(), snapshot);
    assert!(server.requests().is_empty());
}

#[test]
fn a_licence_that_was_not_accepted_is_told() {
    for (status, code) in [
        ("401 Unauthorized", "x-error-code: GatedRepo\r\n"),
        ("403 Forbidden", ""),
    ] {
        let server = Server::start(move |request| match request.path.contains("/resolve/") {
            true => response(status, code, b"no"),
            false => hub(request),
        });
        let error = refusal(&server, &cache("gated"));
        for says in [
            "accept its licence",
            "https://huggingface.co/made-up/tiny",
            "HF_TOKEN",
        ] {
            assert!(error.contains(says), "{error}");
        }
    }
    let server = Server::start(|_| response("401 Unauthorized", "", b""));
    assert!(refusal(&server, &cache("gated")).contains("does not take HF_TOKEN"));
    let server = Server::start(|_| response("404 Not Found", "", b""));
    let error = refusal(&server, &cache("gated"));
    assert!(error.contains("made-up/tiny is not on the hub"), "{error}");
}

/// Half of what an answer would be.
fn cut(mut answer: Vec<u8>) -> Vec<u8> {
    answer.truncate(answer.len() - answer.len().min(file(LARGE).len() / 2));
    answer
}

#[test]
fn a_cut_connection_goes_on_at_its_byte() {
    let count = AtomicUsize::new(0);
    let server = Server::start(move |request| {
        let first = request.path.ends_with(LARGE) && count.fetch_add(1, Ordering::Relaxed) == 0;
        if first {
            cut(hub(request))
        } else {
            hub(request)
        }
    });
    let hub = cache("cut");
    let snapshot = get(&server, &hub).unwrap();
    holds(&hub, &snapshot);
    let requests = server.requests();
    let starts = requests.iter().filter(|r| r.path.ends_with(LARGE));
    assert_eq!(
        starts.map(Request::start).collect::<Vec<_>>(),
        [0, file(LARGE).len() / 2]
    );
}

#[test]
fn a_download_that_was_given_up_goes_on_another_time() {
    let large = |request: &Request| request.path.ends_with(LARGE);
    let server = Server::start(move |request| match (large(request), request.start()) {
        (true, 0) => cut(hub(request)),
        (true, _) => response("503 Service Unavailable", "", b""),
        _ => hub(request),
    });
    let cache = cache("another-time");
    assert!(refusal(&server, &cache).contains("status 503"));
    assert_eq!(server.requests().iter().filter(|r| large(r)).count(), 1 + 5);
    // What is there is no model yet.
    assert!(cache.snapshot(REPOSITORY).unwrap().is_none());
    let server = Server::start(hub);
    holds(&cache, &get(&server, &cache).unwrap());
    let requests = server.requests();
    let starts = requests.iter().filter(|r| large(r)).map(Request::start);
    assert_eq!(starts.collect::<Vec<_>>(), [file(LARGE).len() / 2]);
    // The small files were there.
    assert_eq!(requests.len(), 2);
}

#[test]
fn a_hub_that_cannot_go_on_begins_anew() {
    let server = Server::start(
        |request| match (request.path.ends_with(LARGE), request.start()) {
            (true, 0) => cut(hub(request)),
            (true, _) => response("200 OK", "", &file(LARGE)),
            _ => hub(request),
        },
    );
    let cache = cache("anew");
    holds(&cache, &get(&server, &cache).unwrap());
}

#[test]
fn other_bytes_than_those_listed_are_refused() {
    type Change = fn(&mut Vec<u8>);
    let changes: [(Change, &str); 2] = [
        (|bytes| bytes[1000] ^= 1, "expected "),
        (|bytes| bytes.push(0), "more bytes, expected 300000 bytes"),
    ];
    for (change, says) in changes {
        let server = Server::start(move |request| {
            if !request.path.ends_with(LARGE) {
                return hub(request);
            }
            let mut bytes = file(LARGE);
            change(&mut bytes);
            part(&bytes, request.start())
        });
        let hub = cache("wrong");
        let error = refusal(&server, &hub);
        assert!(error.contains(LARGE) && error.contains(says), "{error}");
        assert!(hub.snapshot(REPOSITORY).unwrap().is_none());
        // Nothing of it is kept, so the next time begins anew.
        holds(&hub, &get(&Server::start(self::hub), &hub).unwrap());
    }
}

#[test]
fn a_redirect_is_followed_without_the_token() {
    let elsewhere = Server::start(|request| part(&file(LARGE), request.start()));
    let port = elsewhere.port;
    let server = Server::start(move |request| match request.path.ends_with(LARGE) {
        true => {
            let to = format!("location: http://localhost:{port}/signed?x=1\r\n");
            response("302 Found", &to, b"")
        }
        false => hub(request),
    });
    let hub = cache("redirect");
    holds(&hub, &get(&server, &hub).unwrap());
    let requests = elsewhere.requests();
    assert_eq!(requests.len(), 1);
    assert!(!requests[0].head.contains("authorization"), "{requests:?}");
    let server = Server::start(|request| {
        let to = format!("location: {}\r\n", request.path);
        response("302 Found", &to, b"")
    });
    assert!(refusal(&server, &hub).contains("redirects in a circle"));
}

#[test]
fn hostile_listings_are_refused() {
    let tries: [(&str, serde_json::Value, &str); 9] = [
        (
            "rfilename",
            "tokenizer/../../../../x.json".into(),
            "no path of a file",
        ),
        (
            "rfilename",
            "tokenizer//etc/passwd".into(),
            "no path of a file",
        ),
        (
            "rfilename",
            "tokenizer/..\\x.json".into(),
            "no path of a file",
        ),
        ("rfilename", "tokenizer/..".into(), "no path of a file"),
        ("blobId", "../../x".into(), "no hash"),
        ("blobId", "ABCDEF".into(), "no hash"),
        ("blobId", serde_json::Value::Null, "no size or hash"),
        ("size", serde_json::Value::Null, "no size or hash"),
        ("size", u64::MAX.into(), "too large"),
    ];
    for (field, value, says) in tries {
        let mut changed = listing();
        changed["siblings"][2][field] = value.clone();
        let server = Server::start(move |_| response("200 OK", "", changed.to_string().as_bytes()));
        let error = refusal(&server, &cache("hostile"));
        assert!(error.contains(says), "{field} {value}: {error}");
    }
    for (text, says) in [
        ("<html>", "unusable"),
        ("{}", "unusable"),
        (
            r#"{"sha": "../x", "siblings": []}"#,
            "the commit has no name",
        ),
        (
            &format!(r#"{{"sha": "{COMMIT}", "siblings": []}}"#),
            "none of the files",
        ),
    ] {
        let body = text.as_bytes().to_vec();
        let server = Server::start(move |_| response("200 OK", "", &body));
        let error = refusal(&server, &cache("hostile"));
        assert!(error.contains(says), "{text}: {error}");
    }
}

#[test]
fn one_program_at_a_time_fetches_a_file() {
    let (server, hub) = (Server::start(hub), cache("busy"));
    let client = client(&server);
    let plan: Plan = client.plan(&order()).unwrap();
    let mut inside = None;
    let mut within = |_: noisesearch::download::Progress| {
        if inside.is_none() {
            inside = Some(fetch(&client, &plan, &hub, &mut |_| {}));
        }
    };
    let outer = fetch(&client, &plan, &hub, &mut within).unwrap();
    let inner = inside.unwrap().unwrap_err().to_string();
    assert!(inner.contains("by another program"), "{inner}");
    holds(&hub, &outer);
}

#[test]
fn the_environment_is_respected() {
    let refused = |name: &'static str, value: &'static str| {
        let set = |asked: &str| (asked == name).then(|| value.to_owned());
        Settings::from_variables(set)
            .err()
            .map(|error| error.to_string())
    };
    for yes in ["1", "true", "ON", "yes"] {
        let error = refused("HF_HUB_OFFLINE", yes).unwrap();
        assert!(error.contains("HF_HUB_OFFLINE"), "{error}");
    }
    assert_eq!(refused("HF_HUB_OFFLINE", "0"), None);
    let error = refused("HF_ENDPOINT", "file:///etc").unwrap();
    assert!(error.contains("HF_ENDPOINT is file:///etc"), "{error}");
    let error = refused("HF_TOKEN", "hf_a\nb").unwrap();
    assert!(
        error.contains("HF_TOKEN") && !error.contains("hf_a"),
        "{error}"
    );
    // Where others may listen, the token is not even looked at.
    let open = Settings::from_variables(|name| match name {
        "HF_ENDPOINT" => Some("http://hub.example".into()),
        "HF_TOKEN" => Some("a\nb".into()),
        _ => None,
    });
    assert!(open.is_ok());
}
