//! The policy of the demo and of the tutorial.
//!
//! | kind            | decision                                   | rule             |
//! |-----------------|--------------------------------------------|------------------|
//! | `tool.echo`     | allow                                      | `echo_allow`     |
//! | `tool.http_get` | allow                                      | `http_get_allow` |
//! | `tool.shell`    | deny, `shell is never allowed`             | `shell_deny`     |
//! | anything else   | deny, `no rule allows this tool`           | `default_deny`   |
//!
//! The files are plain Rego v1, so `opa eval` reads them as they are.

/// Name of the bundle made of [`SOURCES`].
pub const NAME: &str = "demo";

/// Version of the bundle made of [`SOURCES`].
pub const VERSION: &str = "1.0.0";

/// The files, as name and text, in byte order of their names.
pub const SOURCES: [(&str, &str); 4] = [
    ("default_deny.rego", include_str!("../policies/demo/default_deny.rego")),
    ("echo_allow.rego", include_str!("../policies/demo/echo_allow.rego")),
    ("http_get_allow.rego", include_str!("../policies/demo/http_get_allow.rego")),
    ("shell_deny.rego", include_str!("../policies/demo/shell_deny.rego")),
];
