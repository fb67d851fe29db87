//! A made-up hub on the loopback of this process, with one repository.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

pub const REPOSITORY: &str = "made-up/tiny";
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
/// The file that is large.
pub const LARGE: &str = "unet/diffusion_pytorch_model.safetensors";
const LARGE_BYTES: usize = 300_000;

/// The first line of a request and its headers, in lower case.
#[derive(Clone, Debug)]
pub struct Request {
    pub path: String,
    pub head: String,
}

impl Request {
    /// The first byte that is asked for.
    pub fn start(&self) -> usize {
        let range = self.head.split("range: bytes=").nth(1);
        let first = range.and_then(|range| range.split('-').next());
        first.map_or(0, |first| first.parse().unwrap())
    }
}

/// Answers requests, each on a connection of its own, until the process ends.
pub struct Server {
    pub port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub fn start(answer: impl Fn(&Request) -> Vec<u8> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                if let Some(request) = read(&stream) {
                    let answer = answer(&request);
                    seen.lock().unwrap().push(request);
                    // A client that has gone has seen enough.
                    drop(stream.write_all(&answer));
                }
            }
        });
        Self { port, requests }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What was asked since the last call.
    pub fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.requests.lock().unwrap())
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut head = String::new();
    let mut lines = BufReader::new(stream.take(1 << 16));
    while !head.ends_with("\r\n\r\n") {
        (lines.read_line(&mut head).ok()? > 0).then_some(())?;
    }
    let path = head.split(' ').nth(1)?.to_owned();
    let head = head.to_lowercase();
    Some(Request { path, head })
}

/// A response with these header lines.
pub fn response(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// The bytes of a file of the repository.
pub fn file(path: &str) -> Vec<u8> {
    match path {
        LARGE => (0..LARGE_BYTES).map(|i| (i * i / 7) as u8).collect(),
        other => format!("{{\"file\": \"{other}\"}}").into_bytes(),
    }
}

/// What the API says of the repository. Two files are not wanted: the text and the half.
pub fn listing() -> Value {
    let small = |path: &str, blob: &str| {
        let size = file(path).len();
        json!({"rfilename": path, "size": size, "blobId": blob})
    };
    let large = json!({"size": LARGE_BYTES, "sha256": SHA256, "pointerSize": 134});
    let none = "0".repeat(40);
    json!({
        "sha": COMMIT,
        "cardData": {"license": "mit"},
        "siblings": [
            small("README.md", &none),
            small("model_index.json", MODEL_INDEX),
            small("unet/config.json", CONFIG),
            {"rfilename": LARGE, "size": LARGE_BYTES, "blobId": none, "lfs": large},
        ],
    })
}

/// Of the large file, by `sha256sum`; of the small ones, by `git hash-object`.
const SHA256: &str = "7f350c62e360b82a9a488576882567364fc526a2a8757653fb19abe74562ea3d";
const MODEL_INDEX: &str = "45ae448eccd290c9322886db27ab97d6a020c05e";
const CONFIG: &str = "f944fc9fda8b854a153dbf71ebe4ae2d03c9d56e";

/// The hub as it is: the listing, and files from any byte on.
pub fn hub(request: &Request) -> Vec<u8> {
    if request.path.starts_with("/api/models/") {
        return response("200 OK", "", listing().to_string().as_bytes());
    }
    let prefix = format!("/{REPOSITORY}/resolve/{COMMIT}/");
    let bytes = file(request.path.strip_prefix(&prefix).unwrap());
    part(&bytes, request.start())
}

/// All bytes, or those from `start` on.
pub fn part(bytes: &[u8], start: usize) -> Vec<u8> {
    if start == 0 {
        return response("200 OK", "", bytes);
    }
    let (last, all) = (bytes.len() - 1, bytes.len());
    let range = format!("content-range: bytes {start}-{last}/{all}\r\n");
    response("206 Partial Content", &range, &bytes[start..])
}
