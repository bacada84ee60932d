//! Reading the routes of a gateway document, and stored routes (spec: gateways 1.2, 3, 5).

use std::collections::HashSet;

use crate::condition::Condition;
use crate::fields::{Fields, missing, text, wrong_type};
use crate::gateway::read::SERVER_OWNED;
use crate::gateway::rules::{self, Shape};
use crate::gateway::weights::weights_add_up;
use crate::gateway::{Balance, ConditionEntry, RewriteEntry, RouteDocument, RouteEntry};
use crate::name::{RoutePath, artifact_name};
use crate::percent::{Percent, PercentError};
use crate::port::Protocol;
use crate::problem::{Position, Problem, Problems};
use crate::rewrite::Rewrite;
use crate::selector::Selector;
use crate::syntax::SyntaxError;
use crate::yaml::{Node, shorten};

/// Reads `routes`: a name, a list of names and maps, or a map.
pub(super) fn read_routes(
    node: &Node,
    protocol: Protocol,
    gateway: &str,
    problems: &mut Problems,
) -> Vec<(RoutePath, RouteEntry)> {
    let before = problems.0.len();
    let mut routes = Routes { protocol, routes: Vec::new(), paths: HashSet::new(), texts: 0, full: false };
    if let Some(entries) = node.map() {
        entries.iter().for_each(|entry| routes.add(&entry.key, entry.position, Some(&entry.value), problems));
    } else {
        for element in node.list().unwrap_or(std::slice::from_ref(node)) {
            if let Some(entries) = element.map() {
                entries
                    .iter()
                    .for_each(|entry| routes.add(&entry.key, entry.position, Some(&entry.value), problems));
            } else if let Some(path) = element.text() {
                routes.add(path, element.position, None, problems);
            } else {
                let expected = "the path of a route, or a map from paths to routes";
                problems
                    .push(wrong_type(element, "/routes", expected).example("routes: {blue: {weight: 100%}}"));
            }
        }
    }
    // The sum is only meaningful when everything else about the routes is right.
    if problems.0.len() == before {
        check_weights(&routes.routes, node, gateway, problems);
    }
    routes.routes
}

/// The weight rule of section 5, where every route is written out.
fn check_weights(routes: &[(RoutePath, RouteEntry)], node: &Node, gateway: &str, problems: &mut Problems) {
    let weights: Option<Vec<_>> = routes
        .iter()
        .map(|(_, entry)| match entry {
            RouteEntry::Inline(route) => Some(route.weight),
            RouteEntry::Reference(_) => None,
        })
        .collect();
    if weights.is_some_and(|weights| !weights_add_up(&weights)) {
        problems.push(total_weight(gateway).at(node.position));
    }
}

/// Weights that add up neither to nothing nor to everything.
pub(super) fn total_weight(gateway: &str) -> Problem {
    let message = format!("Total route weight must be either 0% or 100%: {}.", shorten(gateway));
    Problem::new("weight", "/routes", message).example("routes: {blue: {weight: 90%}, green: {weight: 10%}}")
}

/// Most routes of one gateway.
const MAX_ROUTES: usize = 5_000;
/// Most selectors, conditions and rewrites on the routes of one gateway: each may hold regular expressions, which cost a
/// fraction of a millisecond and some KiB, and aliases make many of them out of a short document.
const MAX_TEXTS: usize = 2_000;
/// Most rewrites of one route.
const MAX_REWRITES: usize = 100;

/// The routes of a gateway while they are read.
struct Routes {
    protocol: Protocol,
    routes: Vec<(RoutePath, RouteEntry)>,
    paths: HashSet<RoutePath>,
    /// Selectors, conditions and rewrites so far.
    texts: usize,
    /// True when a limit is reached; what follows is not read.
    full: bool,
}

impl Routes {
    /// Adds a route; without a value it is one with nothing but its path.
    fn add(&mut self, key: &str, position: Position, value: Option<&Node>, problems: &mut Problems) {
        if self.full {
            return;
        }
        if self.routes.len() >= MAX_ROUTES || self.texts > MAX_TEXTS {
            self.full = true;
            let message = format!(
                "Too many routes: at most {MAX_ROUTES} routes with {MAX_TEXTS} selectors, conditions and rewrites are allowed"
            );
            problems.push(Problem::new("limit", "/routes", message).at(position));
            return;
        }
        let path = match rules::route_path(key) {
            Ok(path) => path,
            Err(message) => {
                let problem =
                    Problem::new("route-path", format!("/routes/{}", shorten(key)), shorten(&message));
                problems.push(problem.at(position).example("routes: {\"[10.1.0.7:8080]\": {weight: 100%}}"));
                return;
            }
        };
        if !self.paths.insert(path.clone()) {
            let message = format!("Duplicate route path: '{path}'");
            problems.push(Problem::new("duplicate-key", format!("/routes/{path}"), message).at(position));
            return;
        }
        let entry = match value {
            None => Some(RouteEntry::Inline(RouteDocument::default())),
            Some(node) => self.entry(&path, node, problems),
        };
        if let Some(entry) = entry {
            if let RouteEntry::Inline(route) = &entry {
                self.texts += route.rewrites.len()
                    + usize::from(route.selector.is_some())
                    + usize::from(route.condition.is_some());
            }
            self.routes.push((path, entry));
        }
    }

    fn entry(&self, path: &RoutePath, node: &Node, problems: &mut Problems) -> Option<RouteEntry> {
        let at = format!("/routes/{path}");
        if node.is_null() {
            problems.push(missing(&at).at(node.position).example(format!("\"{path}\": {{}}")));
            return None;
        }
        if let Some(name) = node.text() {
            return reference(name, node, &at, problems).map(RouteEntry::Reference);
        }
        let expected = "a map, or the name of a stored route";
        let mut fields = Fields::expecting(expected, node, &at, problems)?;
        match reference_or_inline(&mut fields, "route", problems)? {
            Some(name) => Some(RouteEntry::Reference(name)),
            None => {
                let route = read_route(&mut fields, Some((path, self.protocol)), problems);
                fields.finish(problems);
                Some(RouteEntry::Inline(route))
            }
        }
    }
}

/// Reads the fields of a route. `place` tells where it stands, if it stands in a gateway.
pub(crate) fn read_route(
    fields: &mut Fields<'_>,
    place: Option<(&RoutePath, Protocol)>,
    problems: &mut Problems,
) -> RouteDocument {
    fields.kind("routes", problems);
    fields.ignore(SERVER_OWNED);
    let route = RouteDocument {
        metadata: fields.metadata(problems),
        weight: read_weight(fields, problems),
        condition: read_condition_field(fields, problems),
        condition_strength: read_strength(fields, problems),
        balance: read_balance(fields, problems),
        rewrites: read_rewrites(fields, problems),
        selector: read_selector(fields, problems),
    };
    if let Some((path, protocol)) = place {
        let shape = Shape {
            selector: route.selector.is_some(),
            condition: route.condition.is_some(),
            rewrites: !route.rewrites.is_empty(),
            balance: &route.balance,
        };
        for (field, problem) in rules::violations(path, protocol, &shape) {
            problems.push(problem.at(fields.position_of(field)));
        }
    }
    route
}

fn read_weight(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<Percent> {
    let node = fields.take("weight")?;
    let weight = node.text().and_then(|text| Percent::parse(text).ok());
    if weight.is_none() {
        let problem = wrong_type(node, &fields.path_of("weight"), "a percentage from '0%' to '100%'");
        problems.push(problem.example(percent_example("weight", node)));
    }
    weight
}

fn read_strength(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<Percent> {
    let node = fields.take("condition_strength")?;
    let path = fields.path_of("condition_strength");
    let problem = match node.text().map(Percent::parse) {
        Some(Ok(strength)) => return Some(strength),
        Some(Err(PercentError::OutOfRange)) => {
            let message = format!(
                "Condition strength cannot be less than 0% or greater than 100%, found {}",
                node.describe()
            );
            Problem::new("condition-strength", path, message).at(node.position)
        }
        _ => wrong_type(node, &path, "a percentage from '0%' to '100%'"),
    };
    problems.push(problem.example(percent_example("condition_strength", node)));
    None
}

/// The likely meaning of a value that is no percentage: `50` for `50%`.
fn percent_example(field: &str, node: &Node) -> String {
    let guess =
        node.text().map(|text| format!("{}%", text.trim())).filter(|text| Percent::parse(text).is_ok());
    format!("{field}: {}", guess.as_deref().unwrap_or("50%"))
}

fn read_balance(fields: &mut Fields<'_>, problems: &mut Problems) -> Balance {
    let Some(text) = fields.take_text("balance", problems) else { return Balance::Default };
    Balance::parse(text).unwrap_or_else(|message| {
        let problem = Problem::new("balance", fields.path_of("balance"), shorten(&message));
        problems.push(problem.at(fields.position_of("balance")).example("balance: leastconn"));
        Balance::Default
    })
}

/// The field `selector` of a gateway or a route.
pub(super) fn read_selector(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<Selector> {
    let node = fields.take("selector")?;
    let path = fields.path_of("selector");
    let text = text(node, &path, problems)?;
    match Selector::parse(text) {
        Ok(selector) => Some(selector),
        Err(error) => {
            let problem = syntax_problem(
                "selector",
                format!("Invalid selector: '{}'.", shorten(text)),
                node,
                &path,
                &error,
            );
            problems.push(problem.example("selector: label(app)(shop) && label(version)((.*))"));
            None
        }
    }
}

/// A text of one of the languages that does not parse: the classic message, then why and where.
fn syntax_problem(
    code: &'static str,
    message: String,
    node: &Node,
    path: &str,
    error: &SyntaxError,
) -> Problem {
    let mut why = error.describe(node.text().unwrap_or_default());
    if let Some(first) = why.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    Problem::new(code, path, format!("{message} {why}")).at(node.position_in_text(error.offset))
}

fn read_condition_field(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<ConditionEntry> {
    let node = fields.take("condition")?;
    let path = fields.path_of("condition");
    if node.text().is_some() {
        return read_condition(node, &path, problems).map(ConditionEntry::Inline);
    }
    let mut inner = Fields::expecting("a text or a map", node, &path, problems)?;
    if let Some(name) = reference_or_inline(&mut inner, "condition", problems)? {
        return Some(ConditionEntry::Reference(name));
    }
    inner.kind("conditions", problems);
    inner.ignore(&["lookup_name"]);
    inner.metadata(problems);
    let text = inner.required("condition", problems);
    let condition = text.and_then(|node| read_condition(node, &inner.path_of("condition"), problems));
    inner.finish(problems);
    condition.map(ConditionEntry::Inline)
}

/// The text of a condition; an empty one is none.
pub(crate) fn read_condition(node: &Node, path: &str, problems: &mut Problems) -> Option<Condition> {
    let text = text(node, path, problems)?;
    if text.trim().is_empty() {
        return None;
    }
    match Condition::parse(text) {
        Ok(condition) => Some(condition),
        Err(error) => {
            let message = format!("Invalid condition: '{}'.", shorten(text));
            let problem = syntax_problem("condition", message, node, path, &error);
            problems.push(problem.example("condition: User-Agent == Firefox"));
            None
        }
    }
}

fn read_rewrites(fields: &mut Fields<'_>, problems: &mut Problems) -> Vec<RewriteEntry> {
    let Some(node) = fields.take("rewrites") else { return Vec::new() };
    let path = fields.path_of("rewrites");
    let elements = node.list().unwrap_or(std::slice::from_ref(node));
    if elements.len() > MAX_REWRITES {
        let message = format!("Too many rewrites: {}, at most {MAX_REWRITES} are allowed", elements.len());
        problems.push(Problem::new("limit", path, message).at(node.position));
        return Vec::new();
    }
    elements.iter().filter_map(|element| read_rewrite_entry(element, &path, problems)).collect()
}

fn read_rewrite_entry(node: &Node, path: &str, problems: &mut Problems) -> Option<RewriteEntry> {
    if let Some(name) = node.text() {
        return reference(name, node, path, problems).map(RewriteEntry::Reference);
    }
    let expected = "a map with 'path', or the name of a stored rewrite";
    let mut inner = Fields::expecting(expected, node, path, problems)?;
    if let Some(name) = reference_or_inline(&mut inner, "rewrite", problems)? {
        return Some(RewriteEntry::Reference(name));
    }
    inner.kind("rewrites", problems);
    inner.ignore(&["lookup_name"]);
    inner.metadata(problems);
    let text = inner.required("path", problems);
    let rewrite = text.and_then(|node| read_rewrite(node, &inner.path_of("path"), problems));
    inner.finish(problems);
    rewrite.map(RewriteEntry::Inline)
}

/// The text of a rewrite.
pub(crate) fn read_rewrite(node: &Node, path: &str, problems: &mut Problems) -> Option<Rewrite> {
    let text = text(node, path, problems)?;
    match Rewrite::parse(text) {
        Ok(rewrite) => Some(rewrite),
        Err(error) => {
            let message = format!("Unsupported path rewrite: '{}'.", shorten(text));
            let problem = syntax_problem("rewrite", message, node, path, &error);
            problems.push(problem.example("rewrites: [{path: \"/v2%[path] if path_beg /api\"}]"));
            None
        }
    }
}

/// The name that a map refers to with `reference` or `ref`, or that it is an inline definition. `None` when it is both.
fn reference_or_inline(
    fields: &mut Fields<'_>,
    what: &str,
    problems: &mut Problems,
) -> Option<Option<String>> {
    let (long, short) = (fields.take("reference"), fields.take("ref"));
    let name = fields.take("name");
    let both = |fields: &Fields<'_>, problems: &mut Problems| {
        let message = format!(
            "Either a reference or an anonymous inline definition of a {what} is expected, not both ({})",
            fields.path()
        );
        let problem = Problem::new("reference-or-inline", fields.path(), message).at(fields.node().position);
        problems.push(problem.example(format!("{{reference: my-{what}}}")));
    };
    let Some(node) = long.or(short) else {
        // An empty name is what an anonymous definition has.
        if name.is_some_and(|name| name.text() != Some("")) {
            both(fields, problems);
            return None;
        }
        return Some(None);
    };
    fields.ignore(&["kind", "lookup_name"]);
    if (long.is_some() && short.is_some()) || name.is_some() || fields.has_more() {
        both(fields, problems);
        return None;
    }
    let path = fields.path_of("reference");
    let text = text(node, &path, problems)?;
    reference(text, node, &path, problems).map(Some)
}

/// The name of a stored artifact.
fn reference(name: &str, node: &Node, path: &str, problems: &mut Problems) -> Option<String> {
    match artifact_name(name) {
        Ok(name) => Some(name),
        Err(message) => {
            let message = format!("{} is no reference: {message}", node.describe());
            problems.push(Problem::new("illegal-name", path, message).at(node.position));
            None
        }
    }
}
