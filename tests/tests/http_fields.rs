//! The page "Control plane, field by field" is what the control plane describes of itself, and nothing else.
//!
//! `AUTONOMY_TEST_BLESS=1 cargo test -p e2e --test http_fields` writes it.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test: what is missing fails it"
)]

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use e2e::harness::{Client, Ports, Stack};
use serde_json::{Map, Value};

const HEAD: &str = "\
# Control plane, field by field

Made from what the control plane describes of itself, `GET /openapi.json` (OpenAPI 3.1): programs take that document, people this page.
[HTTP](http.md#control-plane) says who may call what, and what happens then. Every route can also answer with a problem (RFC 9457) whose
[code](codes.md) is stable.
";

/// A cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ").replace('<', "&lt;")
}

fn described(of: &Value) -> String {
    of["description"].as_str().map(cell).unwrap_or_default()
}

fn link(reference: &str) -> String {
    let name = reference.rsplit('/').next().unwrap();
    format!("[`{name}`](#{})", name.to_lowercase())
}

/// A type in words.
fn kind(schema: &Value) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        return link(reference);
    }
    for several in ["oneOf", "anyOf", "allOf"] {
        if let Some(each) = schema[several].as_array() {
            return each.iter().map(kind).collect::<Vec<_>>().join(" or ");
        }
    }
    if let Some(words) = schema["enum"].as_array() {
        let words = words.iter().map(|it| format!("`{}`", it.as_str().unwrap()));
        return words.collect::<Vec<_>>().join(", ");
    }
    let names: Vec<&str> = match &schema["type"] {
        Value::Array(all) => all.iter().map(|it| it.as_str().unwrap()).collect(),
        Value::String(one) => vec![one],
        _ => return "anything".to_owned(),
    };
    names.iter().map(|it| named(it, schema)).collect::<Vec<_>>().join(" or ")
}

fn named(name: &str, schema: &Value) -> String {
    let bound = |least: &str, most: &str| match (&schema[least], &schema[most]) {
        (Value::Null, Value::Null) => String::new(),
        (least, Value::Null) => format!(" from {least}"),
        (Value::Null, most) => format!(" up to {most}"),
        (least, most) => format!(" from {least} to {most}"),
    };
    match name {
        "array" => format!("list of {}", kind(&schema["items"])),
        "object" if schema["additionalProperties"].is_object() => {
            format!("object of {}", kind(&schema["additionalProperties"]))
        }
        "integer" | "number" => format!("{name}{}", bound("minimum", "maximum")),
        "string" => match schema["pattern"].as_str() {
            Some(pattern) => format!("text like `{}`", cell(pattern)),
            None if schema["maxLength"].is_null() => "text".to_owned(),
            None => format!("text{} characters", bound("minLength", "maxLength")),
        },
        other => other.to_owned(),
    }
}

/// What is sent or answered, by type of content.
fn content(of: &Value) -> Option<String> {
    let (media, it) = of["content"].as_object()?.iter().next()?;
    let plain = media == "application/json" || media == "application/problem+json";
    let media = if plain { String::new() } else { format!(" (`{media}`)") };
    Some(format!("{}{media}", kind(&it["schema"])))
}

fn route(page: &mut String, method: &str, path: &str, operation: &Value) {
    let summary = operation["summary"].as_str().unwrap();
    write!(page, "\n### `{} {path}`\n\n{summary}\n", method.to_uppercase()).unwrap();
    let parameters = operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !parameters.is_empty() {
        page.push_str("\n| parameter | in | type | meaning |\n|---|---|---|---|\n");
    }
    for it in parameters {
        let (name, place) = (it["name"].as_str().unwrap(), it["in"].as_str().unwrap());
        let (kind, meaning) = (kind(&it["schema"]), described(it));
        writeln!(page, "| `{name}` | {place} | {kind} | {meaning} |").unwrap();
    }
    if let Some(body) = content(&operation["requestBody"]) {
        write!(page, "\nBody: {body}.\n").unwrap();
    }
    let answers = operation["responses"].as_object().unwrap();
    for (status, answer) in answers.iter().filter(|it| it.0 != "default") {
        let body = content(answer).map(|it| format!(": {it}")).unwrap_or_default();
        let meaning = described(answer);
        let meaning = if meaning.is_empty() { meaning } else { format!(" — {meaning}") };
        write!(page, "\nAnswers `{status}`{body}{meaning}\n").unwrap();
    }
}

fn schema(page: &mut String, name: &str, schema: &Value) {
    write!(page, "\n### {name}\n").unwrap();
    let meaning = described(schema);
    if !meaning.is_empty() {
        write!(page, "\n{meaning}\n").unwrap();
    }
    let Some(fields) = schema["properties"].as_object() else {
        write!(page, "\nOne of {}.\n", kind(schema)).unwrap();
        return;
    };
    let required: Vec<_> = schema["required"].as_array().into_iter().flatten().collect();
    page.push_str("\n| field | type | meaning |\n|---|---|---|\n");
    for (field, it) in fields {
        let needed = required.iter().any(|it| *it == field);
        let (kind, mark) = (kind(it), if needed { "" } else { ", optional" });
        writeln!(page, "| `{field}` | {kind}{mark} | {} |", described(it)).unwrap();
    }
}

/// Method, path and what is said about them.
type Route<'a> = (&'a str, &'a str, &'a Value);

/// Routes by what they are about.
fn by_tag(paths: &Map<String, Value>) -> BTreeMap<&str, Vec<Route<'_>>> {
    let mut tags = BTreeMap::<_, Vec<_>>::new();
    for (path, item) in paths {
        for (method, operation) in item.as_object().unwrap() {
            let tag = operation["tags"][0].as_str().unwrap();
            tags.entry(tag).or_default().push((method.as_str(), path.as_str(), operation));
        }
    }
    tags
}

fn page(document: &Value) -> String {
    let mut page = HEAD.to_owned();
    for (tag, routes) in by_tag(document["paths"].as_object().unwrap()) {
        write!(page, "\n## Routes: {tag}\n").unwrap();
        for (method, path, operation) in routes {
            route(&mut page, method, path, operation);
        }
    }
    page.push_str("\n## Bodies\n");
    for (name, it) in document["components"]["schemas"].as_object().unwrap() {
        schema(&mut page, name, it);
    }
    page
}

#[test]
fn the_page_of_fields_is_what_the_control_plane_describes() {
    let dir = tempfile::tempdir().unwrap();
    let stack = Stack::new(dir.path(), Ports::free().unwrap());
    let _control_plane = stack.orchestrator().unwrap();
    let client = Client::new().unwrap();
    let document = client.get_json(&format!("{}/openapi.json", stack.orchestrator_url())).unwrap();
    let made = page(&document);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let file = root.join("docs/src/reference/http-fields.md");
    if std::env::var_os("AUTONOMY_TEST_BLESS").is_some() {
        fs::write(&file, &made).unwrap();
    }
    let page = fs::read_to_string(&file).unwrap();
    let differs = page.lines().zip(made.lines()).find(|(page, made)| page != made);
    assert_eq!(differs, None, "AUTONOMY_TEST_BLESS=1 writes the page");
    assert_eq!(page.lines().count(), made.lines().count());
}
