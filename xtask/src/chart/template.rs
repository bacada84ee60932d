//! Reads the part of Go's template language that the chart keeps to: text to a tree.
//!
//! ```text
//! "a {{ if .Values.x }}b{{ end }}" --pieces--> Text, Action, Text, Action --parse--> [Text, If { arms, otherwise }]
//! ```
//!
//! What Helm would take and this does not (assignment with `=`, `block`, `template`, `break`, method calls but two) is an error with file
//! and line, so the chart cannot leave the subset unnoticed.

use anyhow::{Context as _, bail};
use serde_json::Value;

/// A part of a template.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    /// Printed as it stands.
    Text(String),
    /// The value is printed.
    Print(Place, Pipeline),
    /// The first arm whose condition holds, else the other nodes.
    If { arms: Vec<(Place, Pipeline, Vec<Node>)>, otherwise: Vec<Node> },
    /// The body for every element, with `.` and the variables (index or key, element) set.
    Range { place: Place, names: Vec<String>, over: Pipeline, body: Vec<Node>, otherwise: Vec<Node> },
    /// The body with `.` set, when the value is not empty.
    With { place: Place, over: Pipeline, body: Vec<Node>, otherwise: Vec<Node> },
    /// A variable, until the end of the block.
    Set(Place, String, Pipeline),
}

/// File and line, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: String,
    pub(super) line: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// Commands, each of which gets the value of the one before as its last argument.
pub(super) type Pipeline = Vec<Vec<Term>>;

/// A word of a command.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Term {
    Literal(Value),
    /// `.a.b` (no variable), `$.a.b` (the variable with the empty name) or `$x.a.b`.
    Path(Option<String>, Vec<String>),
    Function(String),
    Group(Pipeline),
}

/// What a file defines: `{{ define "name" }}` blocks, and the rest.
#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) named: Vec<(String, Vec<Node>)>,
    pub(super) body: Vec<Node>,
}

/// Reads a file.
///
/// # Errors
/// What is not in the subset, with its place.
pub(super) fn parse(file: &str, text: &str) -> anyhow::Result<File> {
    let mut parser = Parser { pieces: pieces(file, text)?, at: 0, named: Vec::new() };
    let (body, end) = parser.nodes(0)?;
    match end {
        None => Ok(File { named: parser.named, body }),
        Some((place, word)) => bail!("{place}: `{word}` without a beginning"),
    }
}

enum Piece {
    Text(String),
    Action(Place, Vec<Token>),
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Path(Option<String>, Vec<String>),
    Literal(Value),
    Pipe,
    Open,
    Close,
    Assign,
    Comma,
}

/// Splits at `{{` and `}}`, and trims where `{{-` and `-}}` say so.
fn pieces(file: &str, text: &str) -> anyhow::Result<Vec<Piece>> {
    let mut found = Vec::new();
    let mut rest = text;
    let mut line = 1;
    let mut trim = false;
    while let Some(start) = rest.find("{{") {
        let mut before = &rest[..start];
        line += before.matches('\n').count();
        let place = Place { file: file.to_owned(), line };
        let inside = &rest[start + 2..];
        let end = inside.find("}}").with_context(|| format!("{place}: '{{{{' without '}}}}'"))?;
        let mut action = &inside[..end];
        line += action.matches('\n').count();
        rest = &inside[end + 2..];
        if trim {
            before = before.trim_start();
        }
        if let Some(trimmed) = action.strip_prefix('-').filter(|rest| rest.starts_with(char::is_whitespace)) {
            before = before.trim_end();
            action = trimmed;
        }
        trim = action.ends_with('-') && action[..action.len() - 1].ends_with(char::is_whitespace);
        if trim {
            action = &action[..action.len() - 1];
        }
        if !before.is_empty() {
            found.push(Piece::Text(before.to_owned()));
        }
        let action = action.trim();
        if action.starts_with("/*") {
            if !action.ends_with("*/") {
                bail!("{place}: a comment that does not end, or holds '}}}}'");
            }
            continue;
        }
        found.push(Piece::Action(place.clone(), tokens(&place, action)?));
    }
    let last = if trim { rest.trim_start() } else { rest };
    if !last.is_empty() {
        found.push(Piece::Text(last.to_owned()));
    }
    Ok(found)
}

fn tokens(place: &Place, action: &str) -> anyhow::Result<Vec<Token>> {
    let mut found = Vec::new();
    let mut rest = action;
    loop {
        rest = rest.trim_start();
        let Some(first) = rest.chars().next() else { return Ok(found) };
        let name =
            |text: &str| text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
        match first {
            '|' | '(' | ')' | ',' => {
                found.push(match first {
                    '|' => Token::Pipe,
                    '(' => Token::Open,
                    ')' => Token::Close,
                    _ => Token::Comma,
                });
                rest = &rest[1..];
            }
            ':' if rest.starts_with(":=") => {
                found.push(Token::Assign);
                rest = &rest[2..];
            }
            '"' => {
                let end = closing_quote(rest).with_context(|| format!("{place}: a text without its end"))?;
                let text: String = serde_json::from_str(&rest[..=end])
                    .with_context(|| format!("{place}: the text {}", &rest[..=end]))?;
                found.push(Token::Literal(Value::String(text)));
                rest = &rest[end + 1..];
            }
            '`' => {
                let end = rest[1..].find('`').with_context(|| format!("{place}: a text without its end"))?;
                found.push(Token::Literal(Value::String(rest[1..=end].to_owned())));
                rest = &rest[end + 2..];
            }
            '.' | '$' => {
                let mut variable = None;
                if let Some(after) = rest.strip_prefix('$') {
                    let end = name(after);
                    variable = Some(after[..end].to_owned());
                    rest = &after[end..];
                }
                let mut fields = Vec::new();
                while let Some(after) = rest.strip_prefix('.') {
                    let end = name(after);
                    rest = &after[end..];
                    if end > 0 {
                        fields.push(after[..end].to_owned());
                    } else if variable.is_some() || !fields.is_empty() {
                        bail!("{place}: a path that ends with '.'");
                    }
                }
                found.push(Token::Path(variable, fields));
            }
            c if c.is_ascii_digit() || c == '-' => {
                let end = rest[1..].find(|c: char| !c.is_ascii_digit()).map_or(rest.len(), |end| end + 1);
                let number: i64 =
                    rest[..end].parse().with_context(|| format!("{place}: the number {}", &rest[..end]))?;
                found.push(Token::Literal(number.into()));
                rest = &rest[end..];
            }
            c if c.is_ascii_alphabetic() => {
                let end = name(rest);
                found.push(match &rest[..end] {
                    "true" => Token::Literal(Value::Bool(true)),
                    "false" => Token::Literal(Value::Bool(false)),
                    "nil" => Token::Literal(Value::Null),
                    word => Token::Word(word.to_owned()),
                });
                rest = &rest[end..];
            }
            other => bail!("{place}: '{other}' is not understood"),
        }
    }
}

/// Where the text that starts with a double quote ends.
fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().enumerate().skip(1).find_map(|(at, byte)| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends.then_some(at)
    })
}

struct Parser {
    pieces: Vec<Piece>,
    at: usize,
    named: Vec<(String, Vec<Node>)>,
}

/// The action that ended a list of nodes, and its tokens after the word.
type End = Option<(Place, &'static str)>;

/// Blocks inside blocks at most.
const MAX_DEPTH: usize = 32;

impl Parser {
    fn nodes(&mut self, depth: usize) -> anyhow::Result<(Vec<Node>, End)> {
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.get(self.at) {
            let (place, tokens) = match piece {
                Piece::Text(text) => {
                    nodes.push(Node::Text(text.clone()));
                    self.at += 1;
                    continue;
                }
                Piece::Action(place, tokens) => (place.clone(), tokens.clone()),
            };
            if depth > MAX_DEPTH {
                bail!("{place}: more than {MAX_DEPTH} blocks inside each other");
            }
            let word = match tokens.first() {
                Some(Token::Word(word)) => word.as_str(),
                _ => "",
            };
            match word {
                "end" if tokens.len() == 1 => {
                    self.at += 1;
                    return Ok((nodes, Some((place, "end"))));
                }
                // Left for the caller, which needs the condition of an `else if`.
                "else" => return Ok((nodes, Some((place, "else")))),
                _ => self.at += 1,
            }
            match word {
                "if" => nodes.push(self.branch(place, &tokens[1..], depth)?),
                "range" => {
                    let (names, over) = head(&place, &tokens[1..])?;
                    let (body, otherwise) = self.body(&place, depth)?;
                    nodes.push(Node::Range { place, names, over, body, otherwise });
                }
                "with" => {
                    let over = pipeline(&place, &tokens[1..])?;
                    let (body, otherwise) = self.body(&place, depth)?;
                    nodes.push(Node::With { place, over, body, otherwise });
                }
                "define" => {
                    let [_, Token::Literal(Value::String(name))] = &tokens[..] else {
                        bail!("{place}: write {{{{ define \"name\" }}}}");
                    };
                    let (body, otherwise) = self.body(&place, depth)?;
                    if !otherwise.is_empty() {
                        bail!("{place}: a definition has no else");
                    }
                    self.named.push((name.clone(), body));
                }
                "template" | "block" | "break" | "continue" => {
                    bail!("{place}: `{word}` is not in the subset")
                }
                _ => match &tokens[..] {
                    [Token::Path(Some(name), fields), Token::Assign, rest @ ..] if fields.is_empty() => {
                        nodes.push(Node::Set(place.clone(), name.clone(), pipeline(&place, rest)?));
                    }
                    _ => nodes.push(Node::Print(place.clone(), pipeline(&place, &tokens)?)),
                },
            }
        }
        Ok((nodes, None))
    }

    /// `if`, with its `else if` and `else`.
    fn branch(&mut self, place: Place, condition: &[Token], depth: usize) -> anyhow::Result<Node> {
        let mut arms = Vec::new();
        let mut condition = pipeline(&place, condition)?;
        let mut here = place;
        loop {
            let (body, end) = self.nodes(depth + 1)?;
            let Some((at, word)) = end else { bail!("{here}: a block without its end") };
            arms.push((here, condition, body));
            if word == "end" {
                return Ok(Node::If { arms, otherwise: Vec::new() });
            }
            let Some(Piece::Action(_, tokens)) = self.pieces.get(self.at) else { bail!("{at}: an else") };
            let tokens = tokens.clone();
            self.at += 1;
            if let [_, Token::Word(word), rest @ ..] = &tokens[..]
                && word == "if"
            {
                condition = pipeline(&at, rest)?;
                here = at;
                continue;
            }
            let (otherwise, end) = self.nodes(depth + 1)?;
            return match end {
                Some((_, "end")) if tokens.len() == 1 => Ok(Node::If { arms, otherwise }),
                _ => bail!("{at}: an else without its end"),
            };
        }
    }

    /// The nodes up to `end`, and those after an `else`.
    fn body(&mut self, place: &Place, depth: usize) -> anyhow::Result<(Vec<Node>, Vec<Node>)> {
        let (body, end) = self.nodes(depth + 1)?;
        match end {
            Some((_, "end")) => Ok((body, Vec::new())),
            Some(_) => {
                self.at += 1;
                match self.nodes(depth + 1)? {
                    (otherwise, Some((_, "end"))) => Ok((body, otherwise)),
                    _ => bail!("{place}: an else without its end"),
                }
            }
            None => bail!("{place}: a block without its end"),
        }
    }
}

/// `$name := pipeline`, `$index, $name := pipeline` or a pipeline.
fn head(place: &Place, tokens: &[Token]) -> anyhow::Result<(Vec<String>, Pipeline)> {
    let Some(assign) = tokens.iter().position(|token| *token == Token::Assign) else {
        return Ok((Vec::new(), pipeline(place, tokens)?));
    };
    let names = match &tokens[..assign] {
        [Token::Path(Some(one), a)] if a.is_empty() => vec![one.clone()],
        [Token::Path(Some(one), a), Token::Comma, Token::Path(Some(two), b)]
            if a.is_empty() && b.is_empty() =>
        {
            vec![one.clone(), two.clone()]
        }
        _ => bail!("{place}: write $x := or $i, $x :="),
    };
    Ok((names, pipeline(place, &tokens[assign + 1..])?))
}

fn pipeline(place: &Place, tokens: &[Token]) -> anyhow::Result<Pipeline> {
    let mut at = 0;
    let found = commands(place, tokens, &mut at, 0)?;
    if at != tokens.len() {
        bail!("{place}: a ')' too many");
    }
    Ok(found)
}

fn commands(place: &Place, tokens: &[Token], at: &mut usize, depth: usize) -> anyhow::Result<Pipeline> {
    if depth > MAX_DEPTH {
        bail!("{place}: more than {MAX_DEPTH} parentheses");
    }
    let mut all = Vec::new();
    let mut terms = Vec::new();
    loop {
        match tokens.get(*at) {
            None | Some(Token::Close) | Some(Token::Pipe) => {
                if terms.is_empty() {
                    bail!("{place}: an empty command");
                }
                all.push(std::mem::take(&mut terms));
                if tokens.get(*at) != Some(&Token::Pipe) {
                    return Ok(all);
                }
            }
            Some(Token::Open) => {
                *at += 1;
                terms.push(Term::Group(commands(place, tokens, at, depth + 1)?));
                if tokens.get(*at) != Some(&Token::Close) {
                    bail!("{place}: a '(' without its ')'");
                }
            }
            Some(Token::Word(word)) => terms.push(Term::Function(word.clone())),
            Some(Token::Literal(value)) => terms.push(Term::Literal(value.clone())),
            Some(Token::Path(variable, fields)) => terms.push(Term::Path(variable.clone(), fields.clone())),
            Some(Token::Assign | Token::Comma) => bail!("{place}: ':=' and ',' have no meaning here"),
        }
        *at += 1;
    }
}
