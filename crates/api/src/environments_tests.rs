use super::*;

fn state(environments: &[(&str, Option<&str>, &str)]) -> State {
    let entry = |(name, organisation, namespace): &(&str, Option<&str>, &str)| Entry {
        id: EnvironmentId {
            namespace: (*namespace).into(),
            name: (*name).into(),
            organisation: organisation.map(Into::into),
        },
        served: Err("not in this test".into()),
    };
    State { standing: Standing::Leader, entries: environments.iter().map(entry).collect() }
}

fn place(prefix: &str) -> Place {
    crate::web::address::canonical(&format!("{prefix}/api/v1").parse().unwrap(), 0).unwrap().1
}

#[test]
fn an_address_means_one_environment_or_none() {
    let state = state(&[
        ("prod", Some("acme"), "vampio-acme-prod"),
        ("test", Some("acme"), "vampio-acme-test"),
        ("prod", Some("zeta"), "vampio-zeta-prod"),
        ("shop", None, "shop"),
        // Its name is the namespace of another, which comes first.
        ("shop", Some("acme"), "vampio-acme-shop"),
    ]);
    for (prefix, expected) in [
        ("", Ok("vampio-acme-test")),
        ("/test", Ok("vampio-acme-test")),
        ("/acme/prod", Ok("vampio-acme-prod")),
        ("/zeta/prod", Ok("vampio-zeta-prod")),
        ("/acme-prod", Ok("vampio-acme-prod")),
        ("/vampio-zeta-prod", Ok("vampio-zeta-prod")),
        ("/shop", Ok("shop")),
        ("/acme/shop", Ok("vampio-acme-shop")),
        ("/prod", Err("Several environments are called 'prod'. This server has 'acme/prod', ")),
        ("/zeta/test", Err("Environment cannot be found: 'zeta/test'. This server has 'acme/prod', ")),
        ("/acme", Err("Environment cannot be found: 'acme'.")),
        ("/zeta-test", Err("Environment cannot be found: 'zeta-test'.")),
    ] {
        let found = state.resolve(&place(prefix), Some("vampio-acme-test"));
        match (found, expected) {
            (Ok(entry), Ok(namespace)) => assert_eq!(entry.id.namespace, namespace, "{prefix}"),
            (Err(failure), Err(message)) => {
                assert_eq!(failure.status(), StatusCode::NOT_FOUND, "{prefix}");
                assert!(failure.message().starts_with(message), "{prefix}: {}", failure.message());
            }
            (found, _) => panic!("{prefix}: {:?}", found.map(|entry| &entry.id)),
        }
    }
}

#[test]
fn a_plain_path_means_the_configured_environment_or_the_only_one() {
    let one = state(&[("prod", None, "prod")]);
    assert!(one.resolve(&place(""), None).is_ok());
    // Never another one than was meant.
    let failure = one.resolve(&place(""), Some("test")).err().unwrap();
    assert!(
        failure.message().contains("This server has 'prod'. Say which one is meant"),
        "{}",
        failure.message()
    );
    let two = state(&[("prod", None, "prod"), ("test", None, "test")]);
    assert!(two.resolve(&place(""), None).is_err());
    assert!(two.resolve(&place(""), Some("test")).is_ok());
    let none = state(&[]).resolve(&place("/a"), None).err().unwrap();
    assert!(none.message().ends_with("This server has no environment yet."), "{}", none.message());
}
