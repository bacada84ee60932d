//! The boolean grammar that selectors and conditions share (spec: gateways 8.1, R15).
//!
//! ```text
//! expr   = term { or term }       term = factor { and factor }      or  = "||" | "|" | word:or
//! factor = { not } ( operand | "(" expr ")" )                        and = "&&" | "&" | word:and    not = "!" | word:not
//! ```
//!
//! The open parentheses live on a stack of our own, so no text can exhaust the stack of the thread. The depth of the tree that comes
//! out is limited by [`DEPTH_LIMIT`].

use super::cursor::Cursor;
use super::{DEPTH_LIMIT, SyntaxError};

/// A language whose operands the boolean grammar combines.
pub(crate) trait Language {
    /// A tree of the language.
    type Node;

    /// What an operand may be, for messages: "expected ..., found ...".
    const EXPECTED: &'static str;

    /// Parses one operand at the cursor, which stands on a character that is neither white space, `(` nor `)`.
    fn operand(&mut self, cursor: &mut Cursor<'_>) -> Result<Self::Node, SyntaxError>;

    /// Explains why something other than `and`, `or` or `)` follows an operand, when the language knows better.
    fn trailing(&self, cursor: &Cursor<'_>) -> Option<SyntaxError>;

    /// The conjunction of at least two parts.
    fn and(parts: Vec<Self::Node>) -> Self::Node;

    /// The disjunction of at least two parts.
    fn or(parts: Vec<Self::Node>) -> Self::Node;

    /// The negation.
    fn not(part: Self::Node) -> Self::Node;
}

/// A node and its depth.
type Deep<N> = (N, usize);

/// What is collected between two parentheses.
struct Group<N> {
    /// Offset of the `(`; `None` for the whole text.
    open: Option<usize>,
    /// Negations in front of it.
    negations: usize,
    /// Complete terms.
    terms: Vec<Deep<N>>,
    /// Factors of the current term.
    factors: Vec<Deep<N>>,
}

impl<N> Group<N> {
    const fn new(open: Option<usize>, negations: usize) -> Self {
        Self { open, negations, terms: Vec::new(), factors: Vec::new() }
    }
}

enum Operator {
    And,
    Or,
}

/// Parses a whole text.
pub(crate) fn parse<L: Language>(language: &mut L, text: &str) -> Result<L::Node, SyntaxError> {
    let mut cursor = Cursor::new(text);
    let mut outer: Vec<Group<L::Node>> = Vec::new();
    let mut group = Group::new(None, 0);
    loop {
        let negations = negations(&mut cursor);
        if cursor.peek() == Some('(') {
            let open = cursor.offset();
            cursor.bump();
            outer.push(std::mem::replace(&mut group, Group::new(Some(open), negations)));
            continue;
        }
        if matches!(cursor.peek(), None | Some(')')) {
            return cursor.error(format!("expected {}, found {}", L::EXPECTED, cursor.found()));
        }
        let node = (language.operand(&mut cursor)?, 1);
        group.factors.push(negate::<L>(node, negations));
        loop {
            cursor.skip_space();
            if cursor.peek() == Some(')') {
                let Some(parent) = outer.pop() else {
                    return cursor.error("unexpected ')', no '(' is open");
                };
                cursor.bump();
                let closed = std::mem::replace(&mut group, parent);
                let node = finish::<L>(closed)?;
                group.factors.push(node);
                continue;
            }
            match operator(&mut cursor) {
                Some(Operator::And) => break,
                Some(Operator::Or) => {
                    let term = join(std::mem::take(&mut group.factors), L::and);
                    group.terms.push(term);
                    break;
                }
                None => {}
            }
            if cursor.peek().is_some() {
                return match language.trailing(&cursor) {
                    Some(error) => Err(error),
                    None => cursor.error(format!("expected 'and' or 'or', found {}", cursor.found())),
                };
            }
            return match group.open {
                Some(open) => Err(SyntaxError::new(open, "missing ')' for this '('")),
                None => finish::<L>(group).map(|(node, _)| node),
            };
        }
    }
}

/// Skips white space and negations; the number of the latter.
fn negations(cursor: &mut Cursor<'_>) -> usize {
    let mut count = 0;
    loop {
        cursor.skip_space();
        if cursor.eat("!") || cursor.eat_word("not") {
            count += 1;
        } else {
            return count;
        }
    }
}

fn operator(cursor: &mut Cursor<'_>) -> Option<Operator> {
    if cursor.eat("&&") || cursor.eat("&") || cursor.eat_word("and") {
        Some(Operator::And)
    } else if cursor.eat("||") || cursor.eat("|") || cursor.eat_word("or") {
        Some(Operator::Or)
    } else {
        None
    }
}

/// Applies negations. Three are the same as one in every language here, so a long row makes no deep tree.
fn negate<L: Language>((mut node, mut depth): Deep<L::Node>, count: usize) -> Deep<L::Node> {
    let count = if count > 2 { 2 - count % 2 } else { count };
    for _ in 0..count {
        node = L::not(node);
        depth += 1;
    }
    (node, depth)
}

/// The node of a complete group.
fn finish<L: Language>(group: Group<L::Node>) -> Result<Deep<L::Node>, SyntaxError> {
    let Group { open, negations, mut terms, factors } = group;
    terms.push(join(factors, L::and));
    let node = negate::<L>(join(terms, L::or), negations);
    if node.1 > DEPTH_LIMIT {
        let message =
            format!("nested too deeply, at most {DEPTH_LIMIT} levels of 'and', 'or' and 'not' are allowed");
        return Err(SyntaxError::new(open.unwrap_or(0), message));
    }
    Ok(node)
}

/// One node of several; a single one stands for itself.
fn join<N>(mut parts: Vec<Deep<N>>, combine: impl Fn(Vec<N>) -> N) -> Deep<N> {
    if parts.len() == 1
        && let Some(only) = parts.pop()
    {
        return only;
    }
    let depth = parts.iter().map(|(_, depth)| depth).max().copied().unwrap_or(0);
    (combine(parts.into_iter().map(|(node, _)| node).collect()), depth + 1)
}
