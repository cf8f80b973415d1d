//! Histograms as text, so that runs can be merged: HdrHistogram V2, deflated, base64.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};
use std::fmt;

/// Why a histogram could not be written or read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistogramError(String);

impl fmt::Display for HistogramError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the histogram is not HdrHistogram V2, deflated, base64: {}", self.0)
    }
}

impl std::error::Error for HistogramError {}

/// Writes a histogram as text that [`decode_histogram`] and the tools of HdrHistogram read.
///
/// # Errors
/// [`HistogramError`] where a count is larger than the format can hold (2^63 - 1).
pub fn encode_histogram(histogram: &Histogram<u64>) -> Result<String, HistogramError> {
    let mut bytes = Vec::new();
    V2DeflateSerializer::new()
        .serialize(histogram, &mut bytes)
        .map_err(|error| HistogramError(error.to_string()))?;
    Ok(STANDARD.encode(bytes))
}

/// Reads what [`encode_histogram`] wrote.
///
/// # Errors
/// [`HistogramError`] where the text is anything else.
pub fn decode_histogram(text: &str) -> Result<Histogram<u64>, HistogramError> {
    let bytes = STANDARD.decode(text).map_err(|error| HistogramError(error.to_string()))?;
    Deserializer::new()
        .deserialize(&mut bytes.as_slice())
        .map_err(|error| HistogramError(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded_again(
            values in prop::collection::vec(0_u64..1 << 42, 0..50),
        ) {
            let mut histogram = Histogram::new_with_bounds(1, 3_600_000_000_000, 3).unwrap();
            histogram.auto(true);
            for value in values {
                histogram.record(value).unwrap();
            }
            let text = encode_histogram(&histogram).unwrap();
            prop_assert_eq!(decode_histogram(&text).unwrap(), histogram);
        }
    }

    #[test]
    fn other_text_is_refused() {
        for text in ["", "HISTFAAAA", "not base64!", "AAAA"] {
            let message = decode_histogram(text).unwrap_err().to_string();
            assert!(message.contains("HdrHistogram V2"), "{text}: {message}");
        }
    }
}
