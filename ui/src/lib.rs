//! The files of the web UI.
//!
//! ```text
//! web/   the program: Svelte, TypeScript; `npm run build` makes ...
//! dist/  ... the files, which are in no repository. `build.rs` lists what is there
//! ```
//!
//! A plain `cargo build` never needs Node: without files in `dist` there is one page that says how to make them.

include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// What is served while the UI is not built.
static UNBUILT: [(&str, &[u8]); 2] =
    [("assets/unbuilt.css", include_bytes!("unbuilt.css")), ("index.html", include_bytes!("unbuilt.html"))];

/// The file at a path such as `index.html` or `assets/index.js`.
pub fn file(path: &str) -> Option<&'static [u8]> {
    let files: &[(&str, &[u8])] = if is_built() { FILES } else { &UNBUILT };
    files.iter().find(|(name, _)| *name == path).map(|(_, bytes)| *bytes)
}

/// False when this binary was built without the UI.
pub fn is_built() -> bool {
    FILES.iter().any(|(name, _)| *name == "index.html")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_page_and_everything_that_it_asks_for() {
        let page = std::str::from_utf8(file("index.html").unwrap()).unwrap();
        let mut asked = 0;
        for part in page.split(['"', '\'']).filter_map(|part| part.strip_prefix('/')) {
            if part.starts_with("assets/") {
                assert!(file(part).is_some(), "{part}");
                asked += 1;
            }
        }
        assert!(asked > 0, "the page has a style at least");
        assert!(file("assets/").is_none() && file("../Cargo.toml").is_none());
    }
}
