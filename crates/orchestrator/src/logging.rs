//! The log lines of the process: text for people, or one JSON object a line.
//!
//! A JSON line is `{"time":…,"level":…,"msg":…}` and the fields of the event.

use std::{
    ffi::OsString,
    fmt::{self, Write as _},
};

use api::env;
use serde_json::{Map, Value};
use thiserror::Error;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    EnvFilter,
    fmt::{
        FmtContext, FormatEvent, FormatFields, MakeWriter,
        format::{DefaultFields, Writer},
    },
    registry::LookupSpan,
};

/// What is logged when `RUST_LOG` is not set.
pub const FILTER_DEFAULT: &str = "info";

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people; with colours on a terminal, unless `NO_COLOR` is set.
    Text,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    /// What is right when nobody says: text on a terminal, JSON otherwise.
    pub const fn for_stderr(terminal: bool) -> Self {
        if terminal { Self::Text } else { Self::Json }
    }
}

/// Makes the subscriber that writes lines to `writer`. Only the program installs it.
///
/// `terminal` says whether `writer` shows colours; `lookup` reads the environment.
///
/// # Errors
///
/// [`FilterError`] when `RUST_LOG` is not a filter.
pub fn subscriber<W>(
    format: LogFormat,
    terminal: bool,
    lookup: &dyn Fn(&str) -> Option<OsString>,
    writer: W,
) -> Result<Box<dyn Subscriber + Send + Sync>, FilterError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let asked = lookup(env::RUST_LOG).filter(|it| !it.is_empty());
    let filter = asked.as_ref().map_or(FILTER_DEFAULT.into(), |it| it.to_string_lossy());
    let filter = EnvFilter::try_new(&filter)
        .map_err(|error| FilterError { filter: filter.to_string(), reason: error.to_string() })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    Ok(match format {
        LogFormat::Text => {
            let plain = lookup(env::NO_COLOR).is_some_and(|it| !it.is_empty());
            Box::new(builder.with_ansi(terminal && !plain).finish())
        }
        LogFormat::Json => Box::new(
            builder
                .with_ansi(false)
                .fmt_fields(DefaultFields::new())
                .event_format(JsonLines)
                .finish(),
        ),
    })
}

/// The filter is not one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("log filter `{filter}`: {reason}")]
pub struct FilterError {
    filter: String,
    reason: String,
}

struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields { msg: String::new(), rest: Map::new() };
        event.record(&mut fields);
        let time = jiff::Timestamp::now();
        let level = event.metadata().level().as_str();
        let msg = Value::from(fields.msg);
        write!(writer, r#"{{"time":"{time:.6}","level":"{level}","msg":{msg}"#)?;
        for (name, value) in fields.rest {
            write!(writer, ",{}:{value}", Value::from(name))?;
        }
        writeln!(writer, "}}")
    }
}

struct Fields {
    msg: String,
    rest: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.rest.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            // Writing to a string does not fail.
            _ = write!(self.msg, "{value:?}");
        } else {
            self.put(field, format!("{value:?}"));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{self, Write},
        sync::{Arc, Mutex},
    };

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(buf)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_json_line_has_level_msg_and_the_fields() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber =
            subscriber(LogFormat::Json, false, &|_| None, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(addr = %"127.0.0.1:1", count = 3_u64, ok = true, "say \"hi\"\n");
            tracing::debug!("not this one");
        });
        let bytes = lines.0.lock().unwrap().clone();
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["msg"], "say \"hi\"\n");
        assert_eq!(line["addr"], "127.0.0.1:1");
        assert_eq!(line["count"], 3);
        assert_eq!(line["ok"], true);
        assert!(line["time"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    }

    #[test]
    fn colours_are_for_terminals_that_want_them() {
        let table = [
            (LogFormat::Text, true, false, "\u{1b}["),
            (LogFormat::Text, true, true, "20"),
            (LogFormat::Text, false, false, "20"),
            (LogFormat::Json, true, false, "{"),
        ];
        for (format, terminal, no_color, want) in table {
            let lines = Lines::default();
            let writer = lines.clone();
            let lookup = |name: &str| (no_color && name == "NO_COLOR").then(|| "1".into());
            let subscriber = subscriber(format, terminal, &lookup, move || writer.clone()).unwrap();
            tracing::subscriber::with_default(subscriber, || tracing::info!("hello"));
            let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
            assert!(text.starts_with(want), "{format:?} {terminal} {no_color}: {text:?}");
        }
    }

    #[test]
    fn a_filter_that_is_none_is_named() {
        let lookup = |name: &str| (name == "RUST_LOG").then(|| "a=b=c".into());
        let error = subscriber(LogFormat::Text, false, &lookup, io::sink).err().unwrap();
        assert!(error.to_string().starts_with("log filter `a=b=c`: "), "{error}");
    }
}
