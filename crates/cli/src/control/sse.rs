//! Server-sent events out of a stream of bytes (WHATWG HTML, "server-sent events").
//!
//! Bytes go in as they come, events come out when they are whole.
//!
//! * **E1** An event is whole at its empty line. What the stream ends within is no event.
//! * **E2** No event is longer than [`EVENT_LEN_MAX`].

/// Longest event, in bytes.
pub(crate) const EVENT_LEN_MAX: usize = 4 << 20;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SseEvent {
    /// Its place in the stream; empty when it has none.
    pub(crate) id: String,
    /// What kind it is; empty when it has none.
    pub(crate) event: String,
    /// What it says.
    pub(crate) data: String,
}

/// An event that is too long (E2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

/// Reads events.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    /// The line that is not whole yet.
    line: Vec<u8>,
    /// Whether a line feed belongs to the line before: CR LF is one end.
    after_cr: bool,
    /// The event that is not whole yet.
    event: SseEvent,
    has_data: bool,
    len: usize,
}

impl Parser {
    /// Takes the next bytes and returns the events that they complete.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<Vec<SseEvent>, TooLong> {
        let mut events = Vec::new();
        for byte in bytes {
            let is_second = std::mem::take(&mut self.after_cr) && *byte == b'\n';
            match byte {
                _ if is_second => {}
                b'\n' | b'\r' => {
                    self.after_cr = *byte == b'\r';
                    let line = std::mem::take(&mut self.line);
                    events.extend(self.line(&String::from_utf8_lossy(&line), line.len()));
                }
                _ if self.len >= EVENT_LEN_MAX => return Err(TooLong),
                byte => {
                    self.len += 1;
                    self.line.push(*byte);
                }
            }
        }
        Ok(events)
    }

    fn line(&mut self, line: &str, len: usize) -> Option<SseEvent> {
        if line.is_empty() {
            self.len = 0;
            let mut event = std::mem::take(&mut self.event);
            // Every line of data ends with a line feed, the last one without.
            event.data.pop();
            return std::mem::take(&mut self.has_data).then_some(event);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                self.has_data = true;
                self.event.data.push_str(value);
                self.event.data.push('\n');
            }
            "id" => value.clone_into(&mut self.event.id),
            "event" => value.clone_into(&mut self.event.event),
            // A comment costs nothing of the event around it; heartbeats are comments.
            "" => self.len = self.len.saturating_sub(len),
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(pieces: &[&str]) -> Vec<(String, String)> {
        let mut parser = Parser::default();
        let took = pieces.iter().flat_map(|it| parser.take(it.as_bytes()).unwrap());
        took.map(|it| (it.id, it.data)).collect()
    }

    fn pair(id: &str, data: &str) -> (String, String) {
        (id.to_owned(), data.to_owned())
    }

    #[test]
    fn an_event_is_whole_at_its_empty_line_however_its_bytes_come() {
        let text = "id: 7\ndata: {\"a\":1}\n\n: heartbeat\n\nevent: x\nid:8\ndata:b\ndata: c\n\ndata: torn\n";
        let want = vec![pair("7", "{\"a\":1}"), pair("8", "b\nc")];
        assert_eq!(events(&[text]), want);
        for end in ["\r\n", "\r"] {
            assert_eq!(events(&[&text.replace('\n', end)]), want);
        }
        for cut in 0..text.len() {
            let (one, two) = text.split_at(cut);
            assert_eq!(events(&[one, two]), want, "{cut}");
        }
    }

    #[test]
    fn an_event_without_data_is_none_and_an_empty_one_is_one() {
        assert_eq!(events(&["id: 1\n\n", "data\n\n", "data:\n\n"]), [pair("", ""), pair("", "")]);
    }

    #[test]
    fn an_event_is_bounded_and_heartbeats_are_not() {
        let mut parser = Parser::default();
        let piece = vec![b'x'; 1 << 20];
        let refused = (0..8).map(|_| parser.take(&piece)).find_map(Result::err);
        assert_eq!(refused, Some(TooLong));
        let mut parser = Parser::default();
        for _ in 0..(EVENT_LEN_MAX / 4) {
            assert_eq!(parser.take(b": heartbeat\n"), Ok(Vec::new()));
        }
    }
}
