//! Which host a URL names, before a secret is sent there.

/// The host of an http(s) URL, with its port cut off; `None` for any other text, such as one with
/// a user's name, of which it is hard to say which host it names.
pub fn host(url: &str) -> Option<&str> {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"))?;
    let odd = |c: char| !c.is_ascii_graphic() || "@?#\\".contains(c);
    if rest.contains(odd) {
        return None;
    }
    let authority = rest.split('/').next()?;
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next()?,
        None => authority.split(':').next()?,
    };
    (!host.is_empty()).then_some(host)
}

/// Whether a host is the machine that asks.
pub fn is_this_machine(host: &str) -> bool {
    ["127.0.0.1", "localhost", "::1"].contains(&host)
}
