//! Host names as requests carry them: any case, maybe a port, maybe a trailing dot.

/// Longest host name that DNS allows; longer ones match nothing.
const LONGEST: usize = 255;

/// A host without its port, and the port's text when there is one. Understands `[::1]:80`.
pub(crate) fn split_port(host: &str) -> (&str, Option<&str>) {
    let colon = match host.strip_prefix('[') {
        Some(rest) => rest.find(']').map(|end| end + 2).filter(|&colon| host[colon..].starts_with(':')),
        // Two colons without brackets: an address, not a port.
        None => host.rfind(':').filter(|&colon| !host[..colon].contains(':')),
    };
    match colon {
        Some(colon) => (&host[..colon], Some(&host[colon + 1..])),
        None => (host, None),
    }
}

/// Calls `look` with the host in the form in which virtual hosts are kept: lower case, no port, no trailing dot (R35).
/// Nothing is allocated.
pub(crate) fn with_canonical<T>(host: &str, look: impl FnOnce(&str) -> Option<T>) -> Option<T> {
    let (host, _) = split_port(host);
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.is_empty() || host.len() > LONGEST {
        return None;
    }
    if !host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return look(host);
    }
    let mut buffer = [0; LONGEST];
    let lower = &mut buffer[..host.len()];
    lower.copy_from_slice(host.as_bytes());
    lower.make_ascii_lowercase();
    look(std::str::from_utf8(lower).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports() {
        let check = |host: &str, name: &str, port: Option<&str>| assert_eq!(split_port(host), (name, port));
        check("a", "a", None);
        check("a:80", "a", Some("80"));
        check("a:", "a", Some(""));
        check("[::1]", "[::1]", None);
        check("[::1]:80", "[::1]", Some("80"));
        check("::1", "::1", None);
        check("[", "[", None);
        check("[]", "[]", None);
        check("", "", None);
        check(":80", "", Some("80"));
    }

    #[test]
    fn canonical_form() {
        let check = |host: &str, canonical: Option<&str>| {
            assert_eq!(with_canonical(host, |host| Some(host.to_owned())).as_deref(), canonical, "{host}");
        };
        check("shop.vamp", Some("shop.vamp"));
        check("Shop.VAMP", Some("shop.vamp"));
        check("Shop.VAMP.:9050", Some("shop.vamp"));
        check("shop.vamp.", Some("shop.vamp"));
        check("", None);
        check(".", None);
        check(":80", None);
        check("Ä.example", Some("Ä.example"));
        check(&"a".repeat(255), Some(&"a".repeat(255)));
        check(&"A".repeat(255), Some(&"a".repeat(255)));
        check(&"a".repeat(256), None);
    }
}
