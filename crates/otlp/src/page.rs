//! Reads the page of metrics (Prometheus text format 0.0.4). It is where every metric of Vamp is defined, so what is exported has the
//! same names, labels and values.

/// A metric with its samples.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Family {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) help: String,
    pub(crate) samples: Vec<Sample>,
}

/// A line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    /// What the name has beyond that of the family: `_bucket`, `_sum`, `_count` or nothing.
    pub(crate) suffix: String,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) value: String,
}

impl Sample {
    pub(crate) fn number(&self) -> f64 {
        self.value.parse().unwrap_or(f64::NAN)
    }
}

/// All families; a line that makes no sense is left out.
pub(crate) fn read(page: &str) -> Vec<Family> {
    let mut families: Vec<Family> = Vec::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap_or((rest, ""));
            let help = help.replace("\\n", "\n").replace("\\\\", "\\");
            families.push(Family { name: name.to_owned(), help, ..Family::default() });
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            if let (Some(family), Some((name, kind))) = (families.last_mut(), rest.split_once(' '))
                && family.name == name
            {
                kind.clone_into(&mut family.kind);
            }
        } else if !line.starts_with('#')
            && let Some(family) = families.last_mut()
        {
            family.samples.extend(sample(line, &family.name));
        }
    }
    families
}

fn sample(line: &str, family: &str) -> Option<Sample> {
    let rest = line.strip_prefix(family)?;
    let end = rest.find(['{', ' '])?;
    let (suffix, rest) = rest.split_at(end);
    let mut labels = Vec::new();
    let mut rest = rest;
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (name, after) = rest.trim_start_matches(',').split_once("=\"")?;
            let (value, after) = quoted(after)?;
            labels.push((name.to_owned(), value));
            rest = after;
        }
        rest = &rest[1..];
    }
    let value = rest.trim().split(' ').next().filter(|value| !value.is_empty())?;
    Some(Sample { suffix: suffix.to_owned(), labels, value: value.to_owned() })
}

/// Up to the closing quote, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((place, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[place + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_page() {
        let page = "# HELP a_total Things,\\nand \\\\ more.\n# TYPE a_total counter\na_total 3\n\
                    a_total{x=\"1\",y=\"a \\\"b\\\"\\\\ \\n,}{\"} 4.5\n\
                    # HELP h Times.\n# TYPE h histogram\nh_bucket{r=\"(1.0)\",le=\"+Inf\"} 2\nh_sum{r=\"(1.0)\"} 0.25\n\
                    no such metric 1\nh_count{broken 2\n";
        let families = read(page);
        assert_eq!(families.len(), 2);
        let a = &families[0];
        assert_eq!((a.kind.as_str(), a.help.as_str()), ("counter", "Things,\nand \\ more."));
        assert_eq!(a.samples[0], Sample { suffix: String::new(), labels: Vec::new(), value: "3".into() });
        let labels = vec![("x".to_owned(), "1".to_owned()), ("y".to_owned(), "a \"b\"\\ \n,}{".to_owned())];
        assert_eq!(a.samples[1].labels, labels);
        let suffixes: Vec<&str> = families[1].samples.iter().map(|sample| sample.suffix.as_str()).collect();
        assert_eq!(suffixes, ["_bucket", "_sum"]);
    }

    proptest! {
        #[test]
        fn any_text(text in "[ -~\n]{0,200}") {
            read(&format!("# HELP a b\n{text}"));
        }

        #[test]
        fn any_label(value in ".{0,20}") {
            let escaped = value.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"");
            let families = read(&format!("# HELP a b\na{{l=\"{escaped}\"}} 1\n"));
            // A carriage return ends no line of the format, but it does for `lines`; names hold none.
            prop_assume!(!value.contains('\r'));
            prop_assert_eq!(&families[0].samples[0].labels[0].1, &value);
        }
    }
}
