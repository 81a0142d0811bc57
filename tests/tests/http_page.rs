//! The page about HTTP has the routes of the control plane: those of the document that it gives of itself, and no others.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{collections::BTreeMap, fs, path::Path};

use e2e::harness::{Client, Ports, Stack};
use serde_json::Value;

/// Routes that the page lists, each with its row.
fn listed() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let page = fs::read_to_string(root.join("docs/src/reference/http.md")).unwrap();
    let section = page.split("\n## Control plane\n").nth(1).unwrap();
    let section = section.split("\n## Sink\n").next().unwrap();
    let methods = ["GET /", "POST /", "DELETE /", "PUT /", "PATCH /"];
    let mut found = BTreeMap::new();
    for row in section.lines().filter(|it| it.starts_with("| `")) {
        let route = row.split('`').nth(1).unwrap();
        if methods.iter().any(|it| route.starts_with(it)) {
            assert!(found.insert(route.to_owned(), row.to_owned()).is_none(), "{route} twice");
        }
    }
    found
}

/// Routes of the document, each with its parameters of the query.
fn described(document: &Value) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let names = parameters.filter(|it| it["in"] == "query");
            let names = names.map(|it| it["name"].as_str().unwrap().to_owned());
            found.insert(format!("{} {path}", method.to_uppercase()), names.collect());
        }
    }
    found
}

#[test]
fn the_page_lists_the_routes_that_the_control_plane_describes_with_their_parameters() {
    let dir = tempfile::tempdir().unwrap();
    let stack = Stack::new(dir.path(), Ports::free().unwrap());
    let _control_plane = stack.orchestrator().unwrap();
    let client = Client::new().unwrap();
    let document = client.get_json(&format!("{}/openapi.json", stack.orchestrator_url())).unwrap();
    let (listed, described) = (listed(), described(&document));
    let names: Vec<_> = described.keys().collect();
    assert_eq!(listed.keys().collect::<Vec<_>>(), names);
    for (route, parameters) in &described {
        for name in parameters {
            assert!(listed[route].contains(&format!("`{name}`")), "{route}: {name} is not named");
        }
    }
}
