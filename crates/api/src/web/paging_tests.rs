use super::*;

fn page(query: &str) -> Option<(u64, u64)> {
    Page::from(&Parameters::parse(query)).ok().map(|page| (page.number, page.size))
}

#[test]
fn bounds() {
    let cases = [
        ("", Some((1, 30))),
        ("page=3&per_page=12", Some((3, 12))),
        ("page=0", Some((1, 30))),
        ("page=-5", Some((1, 30))),
        ("per_page=0", Some((1, 1))),
        ("per_page=31", Some((1, 30))),
        ("per_page=1000", Some((1, 30))),
        ("page=2&page=x", Some((2, 30))),
        ("page=x", None),
        ("per_page=many", None),
    ];
    for (query, expected) in cases {
        assert_eq!(page(query), expected, "{query}");
    }
}

#[test]
fn links() {
    let check = |query: &str, total: u64, expected: [u64; 4]| {
        let parameters = Parameters::parse(query);
        let links = Page::from(&parameters).unwrap().links(total, "http://h/api/v1/events", &parameters);
        let pages: Vec<u64> = links
            .split(", ")
            .map(|link| link.split_once("&page=").unwrap().1.split_once('>').unwrap().0.parse().unwrap())
            .collect();
        assert_eq!(pages, expected, "{query} of {total}");
        let relations: Vec<&str> = links.split(", ").map(|link| link.split_once("rel=").unwrap().1).collect();
        assert_eq!(relations, ["first", "prev", "next", "last"]);
    };
    check("page=2&per_page=12", 60, [1, 1, 3, 5]);
    check("page=1&per_page=12", 60, [1, 1, 2, 5]);
    check("page=5&per_page=12", 60, [1, 4, 5, 5]);
    check("page=9&per_page=12", 60, [1, 5, 5, 5]);
    check("", 0, [1, 1, 1, 1]);
    check("page=9223372036854775807", 1, [1, 1, 1, 1]);
}

#[test]
fn other_parameters_are_repeated() {
    let parameters = Parameters::parse("tag=gateways%3Ashop&tag=a%20b&page=2&per_page=5");
    let links = Page::from(&parameters).unwrap().links(30, "/api/v1/events", &parameters);
    assert!(
        links.starts_with("</api/v1/events?tag=gateways:shop&tag=a%20b&per_page=5&page=1>; rel=first, "),
        "{links}"
    );
}
