//! Moving traffic: `weight`, `condition`, `sticky`, `evict`.
//!
//! Each reads the gateway, changes it and writes it back under `If-Match`, so that two people never overwrite each other
//! unseen; a lost race is tried again on the new state.

use model::percent::Percent;
use reqwest::Method;
use serde_json::{Value, json};

use super::apply::receipt;
use crate::args::{Change, Format};
use crate::client::{Answer, Call, Client, segment};
use crate::error::Error;
use crate::output::{Grid, print, structured, text};

/// How often a change is tried when others write the same gateway at the same time.
const ATTEMPTS: usize = 5;

/// Reads a gateway, lets `edit` change it, writes it back; again when somebody else was faster.
async fn change_gateway(
    client: &Client,
    gateway: &str,
    change: &Change,
    mut edit: impl FnMut(&mut Value) -> Result<(), Error>,
) -> Result<(Value, Answer), Error> {
    let path = format!("/gateways/{}", segment(gateway));
    let mut attempt = 1;
    loop {
        let before = client.get(&path).await?;
        let mut document = before.body.clone();
        edit(&mut document)?;
        let call = Call {
            method: Method::PUT,
            path: &path,
            body: Some(document.to_string()),
            if_match: before.etag.clone(),
            change: Some(change),
        };
        match client.call(call).await {
            Ok(answer) => return Ok((before.body, answer)),
            Err(Error::Refused { status: 412, .. }) if attempt < ATTEMPTS => attempt += 1,
            Err(error) => return Err(without_positions(error)),
        }
    }
}

/// The document was made here: its lines and columns mean nothing to whoever typed the command.
fn without_positions(error: Error) -> Error {
    let Error::Refused { status, message, mut problems } = error else { return error };
    for problem in problems.iter_mut().filter_map(Value::as_object_mut) {
        problem.remove("position");
    }
    Error::Refused { status, message, problems }
}

fn routes_of(document: &mut Value) -> Result<&mut serde_json::Map<String, Value>, Error> {
    document
        .get_mut("routes")
        .and_then(Value::as_object_mut)
        .ok_or_else(|| Error::Failed("the gateway has no routes".into()))
}

fn route_of<'a>(
    document: &'a mut Value,
    route: &str,
) -> Result<&'a mut serde_json::Map<String, Value>, Error> {
    let routes = routes_of(document)?;
    let known = routes.keys().map(|key| format!("'{key}'")).collect::<Vec<_>>().join(", ");
    // `1.0.3` is a natural way to say `(1.0.3)`.
    let key = if routes.contains_key(route) { route.to_owned() } else { format!("({route})") };
    match routes.get_mut(&key).and_then(Value::as_object_mut) {
        Some(route) => Ok(route),
        None if known.is_empty() => {
            Err(Error::Failed(format!("no route '{route}': the gateway has no routes yet")))
        }
        None => Err(Error::Failed(format!("no route '{route}', the gateway has {known}"))),
    }
}

pub(super) async fn weight(
    client: &Client,
    gateway: &str,
    weights: &[String],
    change: &Change,
    format: Format,
) -> Result<(), Error> {
    let wanted = weights.iter().map(|text| assignment(text)).collect::<Result<Vec<_>, _>>()?;
    let (before, answer) = change_gateway(client, gateway, change, |document| {
        let routes = routes_of(document)?;
        let current: Vec<(String, Percent)> = routes
            .iter()
            .map(|(path, route)| (path.clone(), Percent::parse(&text(route, "weight")).unwrap_or_default()))
            .collect();
        for (path, weight) in shares(&current, &wanted)? {
            if let Some(route) = routes.get_mut(&path).and_then(Value::as_object_mut) {
                route.insert("weight".into(), json!(weight.to_string()));
            }
        }
        Ok(())
    })
    .await?;
    show(gateway, &before, &answer, format)
}

/// `ROUTE=N%`, split at the last `=`; the `%` may be left out.
fn assignment(text: &str) -> Result<(String, Percent), Error> {
    let (route, share) = text
        .rsplit_once('=')
        .ok_or_else(|| Error::Usage(format!("'{text}' is not ROUTE=N%, for example '(1.0.3)=90%'")))?;
    let share = share.trim();
    let share = if share.ends_with('%') { share.to_owned() } else { format!("{share}%") };
    let weight = Percent::parse(&share).map_err(|_| {
        Error::Usage(format!("'{share}' is not a weight, write 0% to 100%, at most two decimals"))
    })?;
    Ok((route.trim().to_owned(), weight))
}

/// The weights of all routes when some are set: the routes not named share the rest in proportion to what they have now.
/// Whole percents stay whole while everything that was set is whole. The sum is exact.
fn shares(
    current: &[(String, Percent)],
    wanted: &[(String, Percent)],
) -> Result<Vec<(String, Percent)>, Error> {
    let mut result: Vec<(String, Option<Percent>)> =
        current.iter().map(|(path, _)| (path.clone(), None)).collect();
    for (route, weight) in wanted {
        let bracketed = format!("({route})");
        let found = result.iter_mut().find(|(path, _)| path == route || *path == bracketed);
        let Some((_, slot)) = found else {
            let known = current.iter().map(|(path, _)| format!("'{path}'")).collect::<Vec<_>>().join(", ");
            return Err(Error::Failed(format!("no route '{route}', the gateway has {known}")));
        };
        if slot.replace(*weight).is_some() {
            return Err(Error::Usage(format!("the route '{route}' is named twice")));
        }
    }
    let set: u32 = result.iter().filter_map(|(_, weight)| weight.map(|w| u32::from(w.hundredths()))).sum();
    let rest = 10_000_u32
        .checked_sub(set)
        .ok_or_else(|| Error::Failed("the weights add up to more than 100%".into()))?;
    let open: Vec<usize> = (0..result.len()).filter(|i| result[*i].1.is_none()).collect();
    let held: u32 = open.iter().map(|i| u32::from(current[*i].1.hundredths())).sum();
    if rest > 0 && held == 0 {
        return Err(Error::Failed(format!(
            "the weights add up to {}, not 100%, and no other route has traffic to scale; name the other routes too",
            hundredths(set)
        )));
    }
    let unit = if set.is_multiple_of(100) { 100 } else { 1 };
    for (index, share) in
        open.iter().zip(proportional(rest / unit, open.iter().map(|i| current[*i].1.hundredths())))
    {
        result[*index].1 = Some(hundredths(share * unit));
    }
    Ok(result.into_iter().map(|(path, weight)| (path, weight.unwrap_or_default())).collect())
}

/// Splits `total` in proportion to `weights` by largest remainder; ties go to the earlier one.
fn proportional(total: u32, weights: impl Iterator<Item = u16> + Clone) -> Vec<u32> {
    let sum: u64 = weights.clone().map(u64::from).sum::<u64>().max(1);
    let exact: Vec<u64> = weights.map(|w| u64::from(w) * u64::from(total)).collect();
    let mut parts: Vec<u32> = exact.iter().map(|e| u32::try_from(e / sum).unwrap_or_default()).collect();
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by_key(|i| std::cmp::Reverse(exact[*i] % sum));
    let given: u32 = parts.iter().sum();
    for index in order.into_iter().take(total.saturating_sub(given) as usize) {
        parts[index] += 1;
    }
    parts
}

fn hundredths(value: u32) -> Percent {
    u16::try_from(value).ok().and_then(Percent::from_hundredths).unwrap_or(Percent::FULL)
}

/// What `vamp condition` sets.
pub(super) struct NewCondition<'a> {
    pub(super) route: &'a str,
    pub(super) text: Option<String>,
    pub(super) strength: Option<String>,
}

pub(super) async fn condition(
    client: &Client,
    gateway: &str,
    new: NewCondition<'_>,
    change: &Change,
    format: Format,
) -> Result<(), Error> {
    let (before, answer) = change_gateway(client, gateway, change, |document| {
        let route = route_of(document, new.route)?;
        match &new.text {
            Some(text) if !text.trim().is_empty() => {
                let had = route.get("condition").is_some_and(|c| !c.is_null());
                route.insert("condition".into(), json!({ "condition": text }));
                // A first condition takes all matching requests unless told otherwise; a new text keeps the strength.
                if let Some(strength) = &new.strength {
                    route.insert("condition_strength".into(), json!(strength));
                } else if !had {
                    route.insert("condition_strength".into(), json!("100%"));
                }
            }
            _ => {
                route.insert("condition".into(), Value::Null);
                route.insert("condition_strength".into(), json!("0%"));
            }
        }
        Ok(())
    })
    .await?;
    show(gateway, &before, &answer, format)
}

pub(super) async fn sticky(
    client: &Client,
    gateway: &str,
    mode: &str,
    change: &Change,
    format: Format,
) -> Result<(), Error> {
    let value = if mode == "none" { Value::Null } else { json!(mode) };
    let (before, answer) = change_gateway(client, gateway, change, |document| {
        if let Some(map) = document.as_object_mut() {
            map.insert("sticky".into(), value.clone());
        }
        Ok(())
    })
    .await?;
    if let Some(text) = structured(format, "gateways", &answer.body) {
        return print(&text);
    }
    print(&format!(
        "gateway/{gateway} sticky: {} -> {}{}",
        text(&before, "sticky"),
        text(&answer.body, "sticky"),
        receipt(&answer)
    ))
}

pub(super) async fn evict(client: &Client, gateway: &str, change: &Change) -> Result<(), Error> {
    let call = Call {
        method: Method::POST,
        path: "/evictions",
        body: Some(json!({ "gateway": gateway }).to_string()),
        if_match: None,
        change: Some(change),
    };
    let answer = client.call(call).await?;
    print(&format!("gateway/{gateway} sticky clients are routed anew{}", receipt(&answer)))
}

/// Before -> after of every route.
fn show(gateway: &str, before: &Value, answer: &Answer, format: Format) -> Result<(), Error> {
    if let Some(text) = structured(format, "gateways", &answer.body) {
        return print(&text);
    }
    let mut grid = Grid::new(&["ROUTE", "WEIGHT", "CONDITION", "STRENGTH"]);
    for (path, route) in answer.body.get("routes").and_then(Value::as_object).into_iter().flatten() {
        let old = before.get("routes").and_then(|routes| routes.get(path)).unwrap_or(&Value::Null);
        let field = |name: &str| {
            let of = |value: &Value| match value.get(name) {
                Some(Value::Object(_)) => text(&value[name], name),
                _ => text(value, name),
            };
            let (old, new) = (of(old), of(route));
            if old == new { new } else { format!("{old} -> {new}") }
        };
        grid.row(vec![path.clone(), field("weight"), field("condition"), field("condition_strength")]);
    }
    print(&format!("gateway/{gateway}{}\n{}", receipt(answer), grid.render()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(current: &[(&str, &str)], wanted: &[&str], expected: &[&str]) {
        let current: Vec<(String, Percent)> =
            current.iter().map(|(path, w)| ((*path).to_owned(), Percent::parse(w).unwrap())).collect();
        let wanted: Vec<_> = wanted.iter().map(|text| assignment(text).unwrap()).collect();
        let actual: Vec<String> =
            shares(&current, &wanted).unwrap().iter().map(|(_, weight)| weight.to_string()).collect();
        assert_eq!(actual, expected);
    }

    #[test]
    fn routes_not_named_share_the_rest_in_proportion() {
        check(&[("(1)", "100%"), ("(2)", "0%")], &["(2)=10%"], &["90%", "10%"]);
        check(&[("(1)", "100%"), ("(2)", "0%")], &["2=10"], &["90%", "10%"]);
        check(&[("a", "60%"), ("b", "40%"), ("c", "0%")], &["c=50%"], &["30%", "20%", "50%"]);
        check(&[("a", "50%"), ("b", "50%"), ("c", "0%")], &["c=1%"], &["50%", "49%", "1%"]);
        check(&[("a", "50%"), ("b", "50%"), ("c", "0%")], &["c=0.5%"], &["49.75%", "49.75%", "0.5%"]);
        check(&[("a", "90%"), ("b", "10%")], &["a=100%"], &["100%", "0%"]);
        check(&[("a", "90%"), ("b", "10%")], &["a=20%", "b=80%"], &["20%", "80%"]);
    }

    #[test]
    fn impossible_weights_say_why() {
        let current = vec![("a".to_owned(), Percent::FULL), ("b".to_owned(), Percent::ZERO)];
        let message = |wanted: &[&str]| {
            let wanted: Vec<_> = wanted.iter().map(|text| assignment(text).unwrap()).collect();
            shares(&current, &wanted).unwrap_err().to_string()
        };
        assert!(message(&["a=50%"]).contains("not 100%"));
        assert!(message(&["c=50%"]).contains("the gateway has 'a', 'b'"));
        assert!(message(&["a=50%", "a=50%"]).contains("named twice"));
        assert!(message(&["a=60%", "b=50%"]).contains("more than 100%"));
        assert!(assignment("a:50").is_err());
        assert!(assignment("a=150%").is_err());
    }
}
