//! Both ends of the wire: a sender encodes, a receiver decodes, refuses one record, and says so.
//!
//! `cargo run -p otlp --example both_ends` prints the request as JSON, which any OTLP collector takes:
//! `… | sed -n '/^{/p' | curl -H 'Content-Type: application/json' --data-binary @- URL/v1/logs`.
#![expect(clippy::print_stdout, reason = "an example talks to a terminal")]

use std::error::Error;

use otlp::{
    Encoding, Limits, PartialSuccess, Record, Resource, Severity, decode, decode_response, encode,
    encode_response,
};
use serde_json::json;

/// Time of the records: nanoseconds since 1970.
const THEN: u64 = 1_767_323_045_000_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let attributes = json!({ "service.name": "robot-7" });
    let resource = Resource { attributes: attributes.as_object().cloned().unwrap_or_default() };
    let mut moved = record("arm moved", Severity::INFO);
    moved.set_trace_id("5b8efff798038103d269b633813fc60c");
    let records = [moved, record("arm stuck", Severity::ERROR)];
    println!("{}", String::from_utf8(encode(Encoding::Json, &resource, &records))?);

    for encoding in [Encoding::Protobuf, Encoding::Json] {
        let request = encode(encoding, &resource, &records);
        let answer = receive(&request, encoding)?;
        // Absent means that everything was accepted.
        let partial = decode_response(&answer, encoding)?.ok_or("nothing was refused")?;
        println!(
            "{encoding}: {} bytes, {} refused: {}",
            request.len(),
            partial.rejected,
            partial.message
        );
    }
    Ok(())
}

fn record(text: &str, severity: Severity) -> Record {
    Record {
        time_unix_nano: THEN,
        severity,
        severity_text: severity.name().to_owned(),
        body: text.into(),
        ..Record::default()
    }
}

/// What a receiver answers to a request with status 200. This one takes no errors.
fn receive(body: &[u8], encoding: Encoding) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut refused = Vec::new();
    for group in decode(body, encoding, &Limits::STANDARD)? {
        let name = group.resource.service_name().unwrap_or("somebody").to_owned();
        for record in group.records {
            if record.severity >= Severity::ERROR {
                refused.push(format!("{} of {name}", record.body));
            }
        }
    }
    let partial = PartialSuccess { rejected: refused.len() as u64, message: refused.join(", ") };
    Ok(encode_response((partial.rejected > 0).then_some(&partial), encoding))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_receiver_refuses_errors_in_both_encodings() {
        for encoding in [Encoding::Protobuf, Encoding::Json] {
            let refused = |severity| {
                let request = encode(encoding, &Resource::default(), &[record("x", severity)]);
                let answer = receive(&request, encoding).unwrap();
                decode_response(&answer, encoding).unwrap().map_or(0, |it| it.rejected)
            };
            assert_eq!((refused(Severity::INFO), refused(Severity::ERROR)), (0, 1));
        }
    }
}
