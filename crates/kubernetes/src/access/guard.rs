//! In debug builds, no request leaves that the table of rights does not permit: a right that is missing there is found by
//! the first test that needs it, whatever the API server of the test permits.

use http::Request;
use kube::client::Body;
use tower::BoxError;

use super::rights::usage;

/// Lets a request pass, or says which row is missing.
pub(crate) fn check(request: Request<Body>) -> Result<Request<Body>, BoxError> {
    let uri = request.uri();
    match usage(request.method().as_str(), uri.path(), uri.query().unwrap_or_default()) {
        Some(usage) if !usage.is_permitted() => Err(format!(
            "kubernetes::access::rights has no row for {} {} (group '{}', {}, name {:?}): add one, or no Role of an \
             installation will permit it",
            usage.verb,
            usage.resource,
            usage.group,
            if usage.namespaced { "in a namespace" } else { "cluster-wide" },
            usage.name
        )
        .into()),
        _ => Ok(request),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_in_the_table_is_refused_with_the_row() {
        let request = |uri: &str| Request::get(uri).body(Body::empty()).unwrap();
        assert!(check(request("/api/v1/namespaces/a/pods?watch=true")).is_ok());
        assert!(check(request("/version")).is_ok());
        let error = check(request("/api/v1/namespaces/a/secrets")).unwrap_err().to_string();
        assert!(error.contains("no row for list secrets (group '', in a namespace"), "{error}");
    }
}
