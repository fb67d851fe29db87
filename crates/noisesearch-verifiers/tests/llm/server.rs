//! A chat endpoint on the loopback of this process.

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Request {
    pub head: String,
    pub body: Value,
    /// How many came before.
    pub number: usize,
}

impl Request {
    /// The id of the picture that is asked about.
    pub fn id(&self) -> String {
        self.asked()["id"].as_str().unwrap().to_owned()
    }

    /// The user's part: id and text.
    pub fn asked(&self) -> Value {
        let text = &self.body["messages"][1]["content"][0]["text"];
        serde_json::from_str(text.as_str().unwrap()).unwrap()
    }

    pub fn picture(&self) -> &str {
        let url = &self.body["messages"][1]["content"][1]["image_url"]["url"];
        url.as_str().unwrap()
    }
}

/// The bytes to send back, and how long to wait before the second half of them.
pub struct Response(pub Vec<u8>, pub Duration);

pub fn status(line: &str, body: &str) -> Response {
    let length = body.len();
    let text = format!(
        "HTTP/1.1 {line}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    );
    Response(text.into_bytes(), Duration::ZERO)
}

/// A chat completion whose text is `content`.
pub fn says(content: &str) -> Response {
    let body = serde_json::json!({
        "choices": [{"index": 0, "message": {"role": "assistant", "content": content}}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
    });
    status("200 OK", &body.to_string())
}

/// The answer that the grammar wants, with `overall` and all else at 50.
pub fn graded(id: &str, overall: Value) -> Value {
    let aspect = |score: Value| serde_json::json!({"reason": "so it looks", "score": score});
    let half = || aspect(50.into());
    serde_json::json!({
        "id": id, "accuracy": half(), "originality": half(), "quality": half(),
        "consistency": half(), "emotion": half(), "overall": aspect(overall),
    })
}

pub struct Server {
    scheme: &'static str,
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<Vec<Request>>>,
    most: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Answers every request by `answer`, each connection in its own thread.
    pub fn new(answer: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Self {
        Self::speaking(None, answer)
    }

    /// The same, over TLS with the certificate of `tls` where there is one.
    pub fn speaking(
        tls: Option<Arc<ServerConfig>>,
        answer: impl Fn(&Request) -> Response + Send + Sync + 'static,
    ) -> Self {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (now, most) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
        let (stopped, requests, peak) = (stop.clone(), seen.clone(), most.clone());
        let thread = std::thread::spawn(move || {
            std::thread::scope(|scope| {
                for stream in listener.incoming() {
                    if stopped.load(Ordering::Relaxed) {
                        return;
                    }
                    let (answer, now, requests, peak) = (&answer, &now, &requests, &peak);
                    let tls = tls.clone();
                    scope.spawn(move || {
                        let running = now.fetch_add(1, Ordering::Relaxed) + 1;
                        peak.fetch_max(running, Ordering::Relaxed);
                        let stream = stream.unwrap();
                        let wait = Some(Duration::from_secs(10));
                        stream.set_read_timeout(wait).unwrap();
                        match tls.map(|tls| ServerConnection::new(tls).unwrap()) {
                            None => serve(stream, answer, requests),
                            Some(tls) => serve(StreamOwned::new(tls, stream), answer, requests),
                        }
                        now.fetch_sub(1, Ordering::Relaxed);
                    });
                }
            });
        });
        Self {
            scheme,
            address,
            stop,
            seen,
            most,
            thread: Some(thread),
        }
    }

    pub fn url(&self) -> String {
        format!("{}://{}/v1", self.scheme, self.address)
    }

    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    /// Connections that were open at the same time.
    pub fn most(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
        self.thread.take().unwrap().join().unwrap();
    }
}

fn serve(
    stream: impl Read + Write,
    answer: &impl Fn(&Request) -> Response,
    requests: &Mutex<Vec<Request>>,
) {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
        head += &line;
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let request = {
        let mut requests = requests.lock().unwrap();
        let request = Request {
            head,
            body: serde_json::from_slice(&body).unwrap(),
            number: requests.len(),
        };
        requests.push(request.clone());
        request
    };
    let Response(bytes, wait) = answer(&request);
    let half = bytes.len() / 2;
    let mut stream = reader.into_inner();
    let _ = stream.write_all(&bytes[..half]);
    std::thread::sleep(wait);
    let _ = stream.write_all(&bytes[half..]);
    let _ = stream.flush();
}
