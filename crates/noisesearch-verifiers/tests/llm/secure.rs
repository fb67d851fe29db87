//! `llm` over HTTPS, to an endpoint that an authority of one's own vouches for. `tls/make.sh` made
//! the certificates.

use super::{Server, fairly, folder, overall, pictures, settings, task};
use noisesearch_verifiers::llm::{Llm, Settings, SettingsError};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn file(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/llm/tls");
    folder.join(name)
}

fn server() -> Server {
    let certificate = CertificateDer::from_pem_file(file("server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(file("server.key")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key);
    Server::speaking(Some(Arc::new(config.unwrap())), fairly)
}

/// What the environment sets, with the authorities of a file.
fn trusting(server: &Server, authorities: &Path) -> Result<Settings, SettingsError> {
    let found = Settings::from_variables(|name| match name {
        "NOISESEARCH_LLM_URL" => Some(server.url()),
        "NOISESEARCH_LLM_MODEL" => Some("a-judge".to_owned()),
        "SSL_CERT_FILE" => Some(authorities.display().to_string()),
        _ => None,
    })?;
    Ok(Settings {
        authorities: found.authorities,
        ..settings(server)
    })
}

#[test]
fn an_endpoint_is_asked_over_https_with_an_authority_of_ones_own() {
    let (open, server) = (Server::new(fairly), server());
    assert!(server.url().starts_with("https://127.0.0.1:"));
    let settings = trusting(&server, &file("authority.pem")).unwrap();
    let secure = Llm::new(&settings).grade(&task(), &pictures(2)).unwrap();
    let plain = Llm::new(&super::settings(&open))
        .grade(&task(), &pictures(2))
        .unwrap();
    assert_eq!(overall(&secure), overall(&plain));
    assert_eq!(server.seen().len(), 2);
}

/// No public authority vouches for it: nothing is sent, the key included.
#[test]
fn an_endpoint_that_nobody_vouches_for_is_told_nothing() {
    let server = server();
    let public = settings(&server);
    let error = Llm::new(&public).grade(&task(), &pictures(1)).unwrap_err();
    assert!(error.to_string().contains("no trusted TLS"), "{error}");
    assert!(server.seen().is_empty());
}

#[test]
fn authorities_that_cannot_be_read_are_an_error() {
    let server = server();
    let folder = folder("authorities");
    std::fs::create_dir_all(&folder).unwrap();
    let empty = folder.join("empty.pem");
    std::fs::write(&empty, "no certificate\n").unwrap();
    for (path, says) in [
        (empty, "it holds no certificate"),
        (folder.join("none.pem"), "No such file"),
        (file("server.key"), "it holds no certificate"),
    ] {
        let error = trusting(&server, &path).unwrap_err().to_string();
        assert!(error.starts_with("SSL_CERT_FILE is /"), "{error}");
        assert!(error.contains(says), "{error}");
    }
}
