//! Drawings of the products, as inline SVG: line art in two tones that follow the page's colours.

/// The drawing for a word; fruit in the colour that is given instead of a word; else a pattern.
pub(super) fn svg(art: &str) -> String {
    let body = match art {
        "mug" => MUG,
        "record" => RECORD,
        "plant" => PLANT,
        "bicycle" => BICYCLE,
        "bottle" => BOTTLE,
        "camera" => CAMERA,
        "jar" => JAR,
        "bag" => BAG,
        "typewriter" => TYPEWRITER,
        "candle" => CANDLE,
        "lamp" => LAMP,
        "shirt" => SHIRT,
        colour if is_colour(colour) => return frame(&FRUIT.replace("COLOUR", colour)),
        _ => PATTERN,
    };
    frame(body)
}

fn is_colour(text: &str) -> bool {
    text.strip_prefix('#')
        .is_some_and(|digits| digits.len() == 6 && digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn frame(body: &str) -> String {
    format!("<svg class=art viewBox=\"0 0 120 90\" aria-hidden=true focusable=false>{body}</svg>")
}

// `f` is filled with the soft accent, `g` with the strong one; everything is outlined.
const MUG: &str = "<path class=f d='M36 30h40v30a12 12 0 0 1-12 12H48a12 12 0 0 1-12-12z'/><path d='M76 38h6a9 9 0 0 1 0 18h-6'/><path d='M47 22c-4-5 4-7 0-12M57 22c-4-5 4-7 0-12M67 22c-4-5 4-7 0-12'/><path class=g d='M36 44h40v8H36z'/>";
const RECORD: &str = "<rect class=f x=26 y=18 width=54 height=54 rx=2 /><circle cx=74 cy=45 r=25 class=d /><circle cx=74 cy=45 r=17 /><circle cx=74 cy=45 r=9 class=g /><circle cx=74 cy=45 r=1.5 />";
const PLANT: &str = "<path class=f d='M44 54h32l-4 22H48z'/><path class=g d='M60 54c-2-14-14-18-22-16 2 10 10 16 22 16zM60 54c2-14 14-18 22-16-2 10-10 16-22 16z'/><path class=g d='M60 54c-8-12-6-26 0-36 6 10 8 24 0 36z'/><path d='M42 54h36'/>";
const BICYCLE: &str = "<circle cx=34 cy=58 r=17 class=f /><circle cx=86 cy=58 r=17 class=f /><path d='M34 58l14-28h30l8 28M48 30l12 28h-26M60 58l18-28M44 26h9M78 30l-3-8h9'/><circle cx=60 cy=58 r=4 class=g />";
const BOTTLE: &str = "<path class=f d='M48 38h24a6 6 0 0 1 6 6v28a4 4 0 0 1-4 4H46a4 4 0 0 1-4-4V44a6 6 0 0 1 6-6z'/><path d='M53 38v-8h14v8'/><path class=g d='M55 30V16a5 5 0 0 1 10 0v14z'/><rect class=g x=48 y=50 width=24 height=16 rx=1 />";
const CAMERA: &str = "<rect class=f x=26 y=30 width=68 height=44 rx=5 /><path class=g d='M34 30v-6h16v6zM74 30v-4h12v4z'/><circle cx=60 cy=53 r=16 class=p /><circle cx=60 cy=53 r=9 class=g /><path d='M26 40h20M74 40h20'/>";
const JAR: &str = "<path class=f d='M42 30h36l4 8v32a6 6 0 0 1-6 6H44a6 6 0 0 1-6-6V38z'/><path class=g d='M38 52h44v18a6 6 0 0 1-6 6H44a6 6 0 0 1-6-6z'/><path class=p d='M41 30l-3-10h44l-3 10z'/><path d='M41 30h38'/><circle cx=52 cy=62 r=2 /><circle cx=64 cy=58 r=2 /><circle cx=70 cy=67 r=2 />";
const BAG: &str = "<path class=f d='M36 36h48l4 40H32z'/><path d='M48 44V28a12 12 0 0 1 24 0v16'/><path class=g d='M52 56h16v8H52z'/>";
const TYPEWRITER: &str = "<path class=p d='M42 14h36v26H42z'/><path d='M48 22h24M48 28h16'/><path class=f d='M30 40h60l6 34H24z'/><rect class=g x=24 y=34 width=72 height=8 rx=4 /><path d='M38 52h2M48 52h2M58 52h2M68 52h2M78 52h2M36 60h2M46 60h2M56 60h2M66 60h2M76 60h2M48 67h24'/>";
const CANDLE: &str = "<path class=f d='M42 40h36v32a4 4 0 0 1-4 4H46a4 4 0 0 1-4-4z'/><path d='M60 40v-8'/><path class=g d='M60 32c-7-6-3-12 0-18 3 6 7 12 0 18z'/><path class=p d='M48 50h24v14H48z'/><path d='M53 57h14'/>";
const LAMP: &str = "<path d='M60 8v14'/><path class=g d='M53 22h14v12H53z'/><path class=f d='M53 34c-10 6-14 14-14 22a21 21 0 0 0 42 0c0-8-4-16-14-22z'/><path d='M52 56l4-12 4 12 4-12 4 12'/>";
const SHIRT: &str = "<path class=f d='M46 18l14 8 14-8 20 12-8 14-8-4v36H42V40l-8 4-8-14z'/><path d='M60 26v50M42 52h36M42 64h36M50 40v36M70 40v36'/><path class=g d='M46 18l14 8 14-8-6 16-8-6-8 6z'/>";
const FRUIT: &str = "<circle cx=60 cy=52 r=25 fill='COLOUR' /><path d='M60 28c0-6 2-12 8-15' /><path class=g d='M62 24c4-8 12-10 20-8-2 8-10 12-20 8z'/><path class=shine d='M44 46a18 18 0 0 1 10-12'/>";
const PATTERN: &str = "<circle cx=44 cy=45 r=20 class=f /><circle cx=76 cy=45 r=20 class=g /><path d='M60 33a20 20 0 0 1 0 24 20 20 0 0 1 0-24z' class=p />";
