//! Runs of models on the disk that are more than a search from beginning to end: fewer steps for
//! candidates, stopped and resumed, from a file in its authors' layout.

use crate::common::{Ended, Scratch, ended, png_pixels};
use crate::folders;
use noisesearch_models::parity::checkpoint;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::process::Child;
use std::time::Duration;

/// Where the published SDXL would lie.
const SDXL: &str = "hub/models--stabilityai--stable-diffusion-xl-base-1.0/snapshots/abc";

/// Where the published FLUX.1 [dev] would lie.
const FLUX: &str = "hub/models--black-forest-labs--FLUX.1-dev/snapshots/abc";

fn generate<'a>(model: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let fixed = [
        "generate",
        "a photo of two small dogs",
        "--model",
        model,
        "--verifier=clipscore",
        "--weights=clipscore=./clipscore",
        "--search=random",
        "--width=48",
        "--height=32",
        "--seed=7",
        "--json",
    ];
    [&fixed[..], more].concat()
}

/// A directory with a tiny CLIPScore.
fn scratch(name: &str) -> Scratch {
    let scratch = Scratch::new(&format!("disk-run-{name}"));
    folders::verifier(&scratch.path("clipscore"), "clip");
    scratch
}

/// The identity, the scores and the pixels of the best picture.
fn best(scratch: &Scratch, summary: &Value) -> (Value, Value, Vec<u8>) {
    let best = &summary["best"];
    let pixels = png_pixels(&scratch.read(best["image"].as_str().unwrap()));
    (best["id"].clone(), best["scores"].clone(), pixels)
}

#[track_caller]
fn summary(ended: Ended) -> Value {
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended.json()
}

/// Candidates in one step, the answer in three: the answer is made anew, from the recipe of the
/// best candidate.
#[test]
fn candidates_take_fewer_steps_than_the_answer() {
    let scratch = scratch("steps");
    folders::stable_diffusion_xl(&scratch.path("tiny"));
    let more = ["--budget=4evals", "--steps=3", "--search-steps=1"];
    let few = summary(scratch.run(&generate("./tiny", &more)));
    assert_eq!(few["billed"]["search_nfe"], 4, "{few}");
    assert_eq!(few["billed"]["final_nfe"], 3, "{few}");
    // Each evaluation is guided; the picture without search is an answer too.
    assert!(
        few["billed"]["passes"].as_u64().unwrap() >= 2 * (4 + 3),
        "{few}"
    );
    let run = few["run"].as_str().unwrap();
    let verified = scratch.done(&["verify", run, "--all"]);
    assert!(verified.out.ends_with("\nall the same\n"), "{verified:?}");
    // In one step there and back, the best candidate itself is another picture.
    let more = ["--budget=4evals", "--steps=1"];
    let one = summary(scratch.run(&generate("./tiny", &more)));
    assert_ne!(best(&scratch, &one).2, best(&scratch, &few).2);
}

/// Sends a signal as soon as some candidates are in the journal.
fn stop(scratch: &Scratch, child: Child, signal: Signal) -> Ended {
    let journal = loop {
        if let Some(run) = scratch.runs("stopped").pop() {
            break run.join("journal.jsonl");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let lines = || {
        scratch
            .read(&journal)
            .iter()
            .filter(|&&b| b == b'\n')
            .count()
    };
    while lines() < 4 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let pid = Pid::from_child(&child);
    kill_process(pid, signal).unwrap();
    ended(child)
}

#[test]
fn a_stopped_run_of_a_disk_model_goes_on_to_the_same_end() {
    let scratch = scratch("stopped");
    folders::flux(&scratch.path("tiny"), "dev");
    let more = ["--budget=40evals", "--steps=2", "--out"];
    let args = |out| generate("./tiny", &[&more[..], &[out]].concat());
    let whole = summary(scratch.run(&args("whole")));
    for (signal, code) in [(Signal::INT, Some(3)), (Signal::KILL, None)] {
        let stopped = stop(&scratch, scratch.start(&args("stopped")), signal);
        assert_eq!(stopped.code, code, "{stopped:?}");
        let run = scratch.runs("stopped").pop().unwrap();
        let resumed = summary(scratch.run(&["resume", run.to_str().unwrap(), "--json"]));
        assert_eq!(best(&scratch, &resumed), best(&scratch, &whole));
        assert_eq!(resumed["billed"], whole["billed"]);
        std::fs::remove_dir_all(scratch.path("stopped")).unwrap();
    }
}

/// Weights are known by what they are; once moving them made a run another one.
#[test]
fn a_stopped_run_goes_on_when_its_weights_have_moved() {
    let scratch = scratch("moved");
    folders::stable_diffusion_xl(&scratch.path("tiny"));
    let more = ["--budget=40evals", "--steps=2", "--out"];
    let args = |out| generate("./tiny", &[&more[..], &[out]].concat());
    let whole = summary(scratch.run(&args("whole")));
    let stopped = stop(&scratch, scratch.start(&args("stopped")), Signal::INT);
    assert_eq!(stopped.code, Some(3), "{stopped:?}");
    let run = scratch.runs("stopped").pop().unwrap();
    let run = run.to_str().unwrap();
    std::fs::create_dir(scratch.path("elsewhere")).unwrap();
    for folder in ["tiny", "clipscore"] {
        let to = scratch.path("elsewhere").join(folder);
        std::fs::rename(scratch.path(folder), to).unwrap();
    }
    let path = format!("{run}/run.toml");
    let toml = String::from_utf8(scratch.read(&path)).unwrap();
    let toml = toml.replace("\"./", "\"./elsewhere/");
    assert_eq!(toml.matches("elsewhere").count(), 2, "{toml}");
    scratch.write(&path, toml);
    let resumed = summary(scratch.run(&["resume", run, "--json"]));
    assert_eq!(best(&scratch, &resumed), best(&scratch, &whole));
    let verified = scratch.done(&["verify", run]);
    assert!(verified.out.ends_with("\nall the same\n"), "{verified:?}");
    // Other images are another run, wherever the model lies.
    let path = scratch.path("elsewhere/tiny/scheduler/scheduler_config.json");
    let config = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, config + "\n").unwrap();
    let refused = scratch.run(&["resume", run]);
    assert_eq!(refused.code, Some(5), "{refused:?}");
    assert!(
        refused.err.contains("another run: weights is"),
        "{refused:?}"
    );
}

/// `flux1-dev.safetensors` is known by its names; configurations, tokenizers and the other parts
/// are those of the published model.
#[test]
fn a_flux_file_of_its_authors_is_a_model() {
    let scratch = scratch("file");
    folders::flux(&scratch.path(FLUX), "dev");
    let file = folders::golden("single-flux-pipeline");
    scratch.write("flux1-dev.safetensors", checkpoint(&file.tensors));
    let cache = [("HF_HUB_CACHE", scratch.path("hub"))];
    let run = |model, more: &[&str]| {
        let budget = ["--budget=3evals", "--steps=2"];
        let args = generate(model, &[&budget[..], more].concat());
        best(&scratch, &summary(scratch.run_with(&args, &cache)))
    };
    let single = run("./flux1-dev.safetensors", &[]);
    let replaced = run("flux.1-dev", &["--transformer=flux1-dev.safetensors"]);
    assert_eq!(single, replaced);
    assert_ne!(single.2, run("flux.1-dev", &[]).2);
}

/// `sd_xl_base_1.0.safetensors` holds network, autoencoder and both text encoders; configurations
/// and tokenizers are those of the published model.
#[test]
fn an_sdxl_file_of_its_authors_is_a_model() {
    let scratch = scratch("sdxl-file");
    folders::stable_diffusion_xl_of_two_layers(&scratch.path(SDXL));
    let file = folders::golden("single-sdxl-pipeline");
    scratch.write("sd_xl_base.safetensors", checkpoint(&file.tensors));
    let cache = [("HF_HUB_CACHE", scratch.path("hub"))];
    let run = |model, more: &[&str]| {
        let budget = ["--budget=3evals", "--steps=2"];
        let args = generate(model, &[&budget[..], more].concat());
        best(&scratch, &summary(scratch.run_with(&args, &cache)))
    };
    let single = run("./sd_xl_base.safetensors", &[]);
    let parts = ["unet", "vae", "text-encoder", "text-encoder-2"];
    let parts = parts.map(|part| format!("--weights={part}=sd_xl_base.safetensors"));
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    assert_eq!(single, run("sdxl", &parts));
    // Each of them is taken from the file: without it, another picture comes out.
    for left_out in 0..parts.len() {
        let mut fewer = parts.clone();
        fewer.remove(left_out);
        assert_ne!(single.2, run("sdxl", &fewer).2, "{}", parts[left_out]);
    }
}
