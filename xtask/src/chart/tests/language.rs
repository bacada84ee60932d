//! The subset of Go's templates, by examples whose results are those of Go.

use super::*;

fn run(text: &str) -> anyhow::Result<String> {
    let mut library = Library::default();
    let body = library.add(template::parse("t.yaml", text)?)?;
    let root = json!({"Values": {"a": "x", "n": 3, "no": false, "empty": "", "list": ["p", "q"], "map": {"z": 1, "b": [true]}}});
    library.render(&body, &root)
}

#[test]
fn templates_mean_what_go_makes_of_them() {
    for (text, expected) in [
        ("plain", "plain"),
        ("{{ .Values.a }}-{{ $.Values.n }}", "x-3"),
        ("a \n {{- .Values.a -}} \n b", "axb"),
        ("a{{- /* gone */ -}} b", "ab"),
        ("{{ if .Values.no }}1{{ else if .Values.n }}2{{ else }}3{{ end }}", "2"),
        ("{{ if not .Values.empty }}y{{ end }}", "y"),
        ("{{ range .Values.list }}[{{ . }}]{{ end }}", "[p][q]"),
        ("{{ range $i, $e := .Values.list }}{{ $i }}{{ $e }}{{ end }}", "0p1q"),
        ("{{ range $k, $v := .Values.map }}{{ $k }} {{ end }}", "b z "),
        ("{{ range list }}1{{ else }}none{{ end }}", "none"),
        ("{{ with .Values.a }}{{ . }}{{ $.Values.n }}{{ end }}", "x3"),
        ("{{ with .Values.empty }}1{{ else }}2{{ end }}", "2"),
        ("{{ $x := .Values.a }}{{ if true }}{{ $x := `in` }}{{ $x }}{{ end }}{{ $x }}", "inx"),
        ("{{ define `d` }}<{{ .k }}>{{ end }}{{ include `d` (dict `k` .Values.a) | quote }}", "\"<x>\""),
        ("{{ .Values.empty | default .Values.a | printf `%s/%d` | quote }}", "error"),
        ("{{ printf \"%s/%v\" .Values.a .Values.n }}", "x/3"),
        ("{{ .Values.empty | default `d` }}", "d"),
        ("{{ toYaml .Values.map | nindent 2 }}", "\n  b:\n    - true\n  z: 1"),
        ("{{ toJson .Values.map }}", "{\"b\":[true],\"z\":1}"),
        ("{{ and .Values.a .Values.n }}{{ or .Values.empty `o` }}", "3o"),
        ("{{ eq .Values.a `y` `x` }} {{ ne .Values.n 3 }}", "true false"),
        ("{{ has `p` .Values.list }}", "true"),
        ("{{ `a-b` | replace `-` `_` | trunc 2 | trimSuffix `_` }}", "a"),
    ] {
        let result = run(text);
        if expected == "error" {
            assert!(result.is_err(), "{text}");
        } else {
            assert_eq!(result.unwrap(), expected, "{text}");
        }
    }
}

#[test]
fn what_is_outside_of_the_subset_is_an_error_with_its_place() {
    for (text, expected) in [
        ("a\n{{ .Values.b }}", "t.yaml:2: no .Values.b"),
        ("{{ nope }}", "`nope`: not in the subset"),
        ("{{ if true }}", "t.yaml:1: a block without its end"),
        ("{{ end }}", "t.yaml:1: `end` without a beginning"),
        ("{{ else }}", "t.yaml:1: `else` without a beginning"),
        ("{{ if true }}{{ else }}{{ else }}{{ end }}", "an else without its end"),
        ("{{ template `x` }}", "`template` is not in the subset"),
        ("{{ x", "'{{' without '}}'"),
        ("{{ .Values.map }}", "use toYaml"),
        ("{{ $y }}", "no variable $y"),
        ("{{ (.Values.a }}", "a '(' without its ')'"),
        ("{{ .Values.a) }}", "a ')' too many"),
        ("{{ \"a }}", "a text without its end"),
        ("{{ $x = 1 }}", "'=' is not understood"),
        ("{{ include `none` . }}", "no template 'none'"),
        ("{{ define `d` }}{{ include `d` . }}{{ end }}{{ include `d` . }}", "more than 32 deep"),
        ("{{ fail `no` }}", "no"),
        ("{{ .Files.Get `x` }}", "no file x"),
    ] {
        let error = format!("{:#}", run(text).expect_err(text));
        assert!(error.contains(expected), "{text}: {error}");
    }
}
