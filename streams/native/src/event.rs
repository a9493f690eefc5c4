//! One event, as the fold takes it.

/// One event that passed validation, normalised; strings are borrowed from the record or owned by the caller.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// ms since 1970
    pub timestamp: i64,
    /// UUID bytes; the order of bytes is the order of the lower-case text
    pub id: [u8; 16],
    /// CODES of streams/columns.py: 1 BREATH .. 12 OPT_IN
    pub kind: u8,
    pub device: &'a str,
    /// routing key
    pub key: &'a str,
    /// millionths
    pub intensity: u32,
    pub seq: Option<i64>,
    pub epoch: i64,
    pub x: Option<f64>,
    pub y: Option<f64>,
    pub z: Option<f64>,
    pub room: Option<&'a str>,
    pub user: Option<&'a str>,
    pub target: Option<&'a str>,
    /// radians, of BREATH, else 0
    pub phase: f64,
    /// `data` exactly as msgspec.msgpack writes the Data struct of this kind (fixmap, omit_defaults)
    pub data: &'a [u8],
}
