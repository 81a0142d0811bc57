//! `autonomy logs`: events that nodes reported.

use std::io::{self, BufWriter, Write};

use api::{
    control::{ControlEvent, EventPage},
    exit::Exit,
};
use serde_json::Value;

use crate::{
    args::{Logs, Output},
    commands::note,
    context::Context,
    control::{ControlPlane, Page, Route, SseEvent, follow},
    failure::Failure,
    printable::printable,
};

pub(crate) fn run(args: &Logs, context: Context<'_>) -> Result<Exit, Failure> {
    let plane = ControlPlane::new(&args.control, context)?;
    if args.follow { follow_events(args, &plane) } else { list(args, &plane) }
}

fn list(args: &Logs, plane: &ControlPlane) -> Result<Exit, Failure> {
    let since = args.since.map(|it| it.resolve(jiff::Timestamp::now()));
    let limit = args.limit.unwrap_or(Logs::LIMIT_DEFAULT);
    let (events, more) = follow(limit as usize, |size, cursor| {
        let route = filtered(Route::new("events").with("limit", size), args);
        let page: EventPage = plane.get(&route.maybe("since", since).maybe("cursor", cursor))?;
        Ok(Page { items: page.events, next_cursor: page.next_cursor })
    })?;
    let mut out = BufWriter::new(io::stdout().lock());
    // They come newest first, and are read like a log.
    events.iter().rev().try_for_each(|it| print(it, args.control.format(), &mut out))?;
    out.flush()?;
    if more {
        note(&format!("the newest {limit} are listed: pass a larger --limit"));
    }
    Ok(Exit::Done)
}

fn follow_events(args: &Logs, plane: &ControlPlane) -> Result<Exit, Failure> {
    let route = filtered(Route::new("events").at("stream"), args).maybe("last", args.limit);
    plane.follow_events(&route, &mut |event: SseEvent| {
        let mut out = io::stdout().lock();
        let parsed: Result<ControlEvent, _> = serde_json::from_str(&event.data);
        match parsed {
            Ok(event) => print(&event, args.control.format(), &mut out)?,
            // Other kinds of messages are for later versions.
            Err(error) => note(&format!("a message of the stream is no event: {error}")),
        }
        Ok(out.flush()?)
    })?;
    Ok(Exit::Done)
}

fn filtered(route: Route, args: &Logs) -> Route {
    route.maybe("node_id", args.node.as_ref()).maybe("event_type", args.kind.as_ref())
}

fn print(event: &ControlEvent, output: Output, out: &mut dyn Write) -> io::Result<()> {
    if output == Output::Json {
        return writeln!(out, "{}", serde_json::to_string(event)?);
    }
    let (at, node) = (printable(&event.timestamp), printable(&event.node_id));
    let rest = if event.rest.is_empty() {
        String::new()
    } else {
        format!("  {}", Value::Object(event.rest.clone()))
    };
    writeln!(out, "{at}  {node}  {}{}", printable(&event.event_type), printable(&rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_whatever_is_in_it() {
        let text = r#"{"event_id":"n:w:1","event_type":"ai.x","node_id":"n\u001b[2J","timestamp":"2026-01-02T03:04:05Z","a":"b\nc"}"#;
        let event: ControlEvent = serde_json::from_str(text).unwrap();
        let shown = |output| {
            let mut out = Vec::new();
            print(&event, output, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            shown(Output::Text),
            "2026-01-02T03:04:05Z  n\\u{1b}[2J  ai.x  {\"a\":\"b\\nc\"}\n"
        );
        assert_eq!(shown(Output::Json), format!("{text}\n"));
    }
}
