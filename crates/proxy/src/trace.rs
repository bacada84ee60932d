//! Trace context (W3C Trace Context, level 1): `traceparent` and `tracestate` on their way through.
//!
//! ```text
//! traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
//!              version  id of the trace            id of the parent  flags (1: sampled)
//! ```
//!
//! The fields are passed on as they are unless this proxy takes part in the trace: then the target gets the proxy's own span as its
//! parent. A context that is malformed counts as none, and `tracestate` goes with it.

use routing::decide::Dice;

use crate::h1::head::{Name, Request};

/// Characters of a `traceparent` of version 00.
pub(crate) const LENGTH: usize = 55;

/// The trace was chosen to be recorded.
const SAMPLED: u8 = 1;
/// The id of the trace was made by chance (level 2); says something about the trace, so it stays.
const RANDOM: u8 = 2;

/// Whether the proxy takes part in traces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TraceContext {
    /// It passes on what comes.
    #[default]
    Pass,
    /// It makes itself the parent of what follows, and begins a trace for requests that come without one.
    Create {
        /// Share of the traces begun here that are sampled, in hundredths of a percent.
        sampled: u16,
    },
}

/// A place in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Context {
    pub(crate) trace: u128,
    pub(crate) span: u64,
    flags: u8,
}

impl Context {
    /// Reads a `traceparent`; `None` when it is not valid.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let (known, rest) = text.split_at_checked(LENGTH)?;
        let [version, trace, span, flags] =
            [(0, 2), (3, 32), (36, 16), (53, 2)].map(|(start, length)| hex(&known[start..start + length]));
        let dashes = [2, 35, 52].iter().all(|place| known[*place] == b'-');
        let version = version?;
        // A later version may have more, behind a dash.
        let ends = rest.is_empty() || (version > 0 && rest[0] == b'-');
        let (trace, span, flags) = (trace?, span?, flags?);
        let valid = dashes && ends && version != 0xff && trace != 0 && span != 0;
        // The lengths above bound them.
        valid.then_some(Self { trace, span: span as u64, flags: flags as u8 & (SAMPLED | RANDOM) })
    }

    pub(crate) fn is_sampled(self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// As a `traceparent`.
    pub(crate) fn text(self) -> [u8; LENGTH] {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        write_hex(&mut text[3..35], self.trace);
        write_hex(&mut text[36..52], self.span.into());
        write_hex(&mut text[53..55], self.flags.into());
        text
    }
}

/// Lower-case hexadecimal digits, 32 at most.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0_u128, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

fn write_hex(place: &mut [u8], mut number: u128) {
    for digit in place.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 15) as usize];
        number >>= 4;
    }
}

/// The part of the proxy in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    /// The span of the proxy: the parent of what follows.
    pub(crate) own: Context,
    /// Its own parent; `None` when the trace begins here.
    pub(crate) parent: Option<u64>,
}

/// What comes in with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Incoming {
    None,
    Valid(Context),
    /// Malformed, or there are several.
    Invalid,
}

/// Reads the context of a request.
pub(crate) fn incoming(request: &Request, buffer: &[u8]) -> Incoming {
    let mut fields = request.fields.known(Name::TraceParent);
    match (fields.next(), fields.next()) {
        (None, _) => Incoming::None,
        (Some(field), None) => {
            Context::parse(field.value.of(buffer)).map_or(Incoming::Invalid, Incoming::Valid)
        }
        (Some(_), Some(_)) => Incoming::Invalid,
    }
}

/// Whether the proxy takes part, and as what. `exports`: it records spans itself, so what is sampled must hang together.
pub(crate) fn take_part(
    mode: TraceContext,
    exports: bool,
    incoming: Incoming,
    dice: &mut impl Dice,
) -> Option<Part> {
    let sampled = match (mode, incoming) {
        (TraceContext::Pass, Incoming::Valid(context)) if exports && context.is_sampled() => 0,
        (TraceContext::Pass, _) => return None,
        (TraceContext::Create { sampled }, _) => sampled,
    };
    let span = some_bits(dice) as u64;
    if let Incoming::Valid(context) = incoming {
        return Some(Part { own: Context { span, ..context }, parent: Some(context.span) });
    }
    let flags = if dice.roll() % 10_000 < u64::from(sampled) { SAMPLED | RANDOM } else { RANDOM };
    let trace = (some_bits(dice) << 64) | some_bits(dice);
    Some(Part { own: Context { trace, span, flags }, parent: None })
}

/// 64 bits by chance, never none.
fn some_bits(dice: &mut impl Dice) -> u128 {
    dice.roll().max(1).into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    struct Fixed(u64);

    impl Dice for Fixed {
        fn roll(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(1);
            self.0
        }
    }

    /// The cases of the recommendation, section 3.2.
    #[test]
    fn what_is_valid() {
        let rows = [
            (GOOD, true, ""),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", true, "not sampled"),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff", true, "unknown flags"),
            ("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", true, "a later version"),
            ("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", true, "with more"),
            ("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.more", false, "not behind a dash"),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", false, "too long for 00"),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-", false, "too long for 00"),
            ("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false, "no version"),
            ("00-00000000000000000000000000000000-b7ad6b7169203331-01", false, "no trace"),
            ("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", false, "no parent"),
            ("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", false, "upper case"),
            ("00-0af7651916cd43dd8448eb211c80319-cb7ad6b7169203331-01", false, "a dash at the wrong place"),
            ("00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false, "not a dash"),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0", false, "too short"),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0x", false, "not a digit"),
            ("", false, "empty"),
        ];
        for (text, valid, why) in rows {
            assert_eq!(Context::parse(text.as_bytes()).is_some(), valid, "{text}: {why}");
        }
        let context = Context::parse(GOOD.as_bytes()).unwrap();
        assert_eq!(context.text(), GOOD.as_bytes());
        assert!(context.is_sampled());
    }

    #[test]
    fn who_takes_part() {
        let context = |flags| Context { trace: 7, span: 9, flags };
        let create = TraceContext::Create { sampled: 10_000 };
        let part = |mode, exports, incoming| take_part(mode, exports, incoming, &mut Fixed(100));
        for incoming in [Incoming::None, Incoming::Invalid, Incoming::Valid(context(1))] {
            assert_eq!(part(TraceContext::Pass, false, incoming), None);
        }
        assert_eq!(part(TraceContext::Pass, true, Incoming::Valid(context(0))), None);
        assert_eq!(part(TraceContext::Pass, true, Incoming::Invalid), None);
        for (mode, exports) in [(TraceContext::Pass, true), (create, false), (create, true)] {
            let part = part(mode, exports, Incoming::Valid(context(1))).unwrap();
            assert_eq!((part.own.trace, part.parent, part.own.is_sampled()), (7, Some(9), true));
            assert_ne!(part.own.span, 9);
        }
        // The choice of whoever began the trace is respected.
        assert!(!part(create, true, Incoming::Valid(context(0))).unwrap().own.is_sampled());
        for incoming in [Incoming::None, Incoming::Invalid] {
            let part = part(create, false, incoming).unwrap();
            assert_eq!((part.parent, part.own.is_sampled()), (None, true));
            assert_eq!(Context::parse(&part.own.text()), Some(part.own), "what is begun here is valid");
        }
        let never = take_part(TraceContext::Create { sampled: 0 }, true, Incoming::None, &mut Fixed(0));
        assert!(!never.unwrap().own.is_sampled());
    }

    #[test]
    fn a_share_is_sampled() {
        let mut dice = Fixed(1);
        let sampled = (0..10_000)
            .filter(|_| {
                let mode = TraceContext::Create { sampled: 2_500 };
                take_part(mode, true, Incoming::None, &mut dice).unwrap().own.is_sampled()
            })
            .count();
        assert!(sampled.abs_diff(2_500) < 50, "{sampled}");
    }

    proptest! {
        #[test]
        fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = Context::parse(&bytes);
        }

        #[test]
        fn what_is_written_is_read(trace in 1_u128.., span in 1_u64.., flags in 0_u8..4) {
            let context = Context { trace, span, flags };
            prop_assert_eq!(Context::parse(&context.text()), Some(context));
        }
    }
}
