//! What a decoder accepts from a peer it does not trust.

/// Bounds of one request. Each field is a maximum and bounds what a sender can make the receiver allocate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Length of the body after decompression.
    pub bytes: usize,
    /// Log records.
    pub records: usize,
    /// Attributes of one record.
    pub attributes_per_record: usize,
    /// Messages of every kind together: records, attributes, values, scopes. Two bytes of protobuf
    /// can become a hundred bytes of memory, so the length alone does not bound the memory.
    pub messages: usize,
    /// Lists and maps inside one another in a body or an attribute.
    pub value_depth: usize,
}

impl Limits {
    /// The bounds for a receiver on an ordinary machine: 20 MiB as other collectors take, and at
    /// most some 150 MiB of memory for the most hostile body of that length.
    pub const STANDARD: Self = Self {
        bytes: 20 << 20,
        records: 100_000,
        attributes_per_record: 65_536,
        messages: 1_000_000,
        value_depth: 24,
    };
}
