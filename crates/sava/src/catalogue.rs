//! What the shop sells, and where: data only.

use crate::money::Cents;

/// The languages of the shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    English,
    Dutch,
    German,
}

/// A country the shop sells in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Locale {
    /// Lower case, as in `/products/ie`.
    pub(crate) code: &'static str,
    pub(crate) country: &'static str,
    pub(crate) language: Language,
    pub(crate) currency: &'static str,
    /// Price level in percent of the Irish one.
    level: i64,
}

/// All of them.
pub(crate) const LOCALES: [Locale; 5] = [
    Locale { code: "ie", country: "Ireland", language: Language::English, currency: "EUR", level: 100 },
    Locale { code: "uk", country: "United Kingdom", language: Language::English, currency: "GBP", level: 86 },
    Locale { code: "us", country: "United States", language: Language::English, currency: "USD", level: 109 },
    Locale { code: "nl", country: "Nederland", language: Language::Dutch, currency: "EUR", level: 98 },
    Locale { code: "de", country: "Deutschland", language: Language::German, currency: "EUR", level: 96 },
];

impl Locale {
    /// By code, in any case. `gb` is `uk`.
    pub(crate) fn find(code: &str) -> Option<&'static Locale> {
        let code = if code.eq_ignore_ascii_case("gb") { "uk" } else { code };
        LOCALES.iter().find(|locale| locale.code.eq_ignore_ascii_case(code))
    }

    /// The BCP 47 tag for pages.
    pub(crate) fn tag(&self) -> &'static str {
        match self.code {
            "uk" => "en-GB",
            "us" => "en-US",
            "nl" => "nl-NL",
            "de" => "de-DE",
            _ => "en-IE",
        }
    }

    /// An Irish price here, rounded to half a unit.
    pub(crate) fn price(&self, euro_cents: i64) -> Cents {
        Cents((euro_cents * self.level / 100 + 25) / 50 * 50)
    }

    /// How a price is written.
    pub(crate) fn money(&self, amount: Cents, currency: &str) -> String {
        let symbol = match currency {
            "EUR" => "€",
            "GBP" => "£",
            "USD" => "$",
            other => other,
        };
        match self.language {
            Language::English if symbol.len() < 4 && symbol != currency => {
                format!("{symbol}{}", amount.plain())
            }
            Language::English => format!("{symbol}\u{a0}{}", amount.plain()),
            Language::Dutch => format!("{symbol}\u{a0}{}", amount.plain().replace('.', ",")),
            Language::German => format!("{}\u{a0}{symbol}", amount.plain().replace('.', ",")),
        }
    }
}

/// A product.
#[derive(Debug)]
pub(crate) struct Product {
    pub(crate) id: u32,
    /// Which drawing shows it.
    pub(crate) art: &'static str,
    /// Irish price.
    pub(crate) euro_cents: i64,
    pub(crate) tags: &'static [&'static str],
    /// Title and description in English, Dutch and German.
    texts: [(&'static str, &'static str); 3],
}

impl Product {
    /// Title and description.
    pub(crate) fn text(&self, language: Language) -> (&'static str, &'static str) {
        let [english, dutch, german] = self.texts;
        match language {
            Language::English => english,
            Language::Dutch => dutch,
            Language::German => german,
        }
    }
}

/// The assortment.
pub(crate) const PRODUCTS: [Product; 12] = [
    Product {
        id: 1,
        art: "mug",
        euro_cents: 1850,
        tags: &["kitchen", "ceramic"],
        texts: [
            ("Pour-over Patience Mug", "Hand-thrown stoneware. Tastes best when everybody has to wait."),
            ("Slow-koffiemok", "Met de hand gedraaid steengoed. Smaakt het best als iedereen moet wachten."),
            ("Geduldsbecher", "Handgedrehtes Steinzeug. Schmeckt am besten, wenn alle warten müssen."),
        ],
    },
    Product {
        id: 2,
        art: "record",
        euro_cents: 2400,
        tags: &["music", "vinyl"],
        texts: [
            ("Lo-fi Rain, Side C", "Forty minutes of drizzle on a tin roof, cut at 45 for no reason."),
            ("Lo-fi regen, kant C", "Veertig minuten motregen op een golfplaten dak, zomaar op 45 toeren."),
            ("Lo-fi-Regen, Seite C", "Vierzig Minuten Niesel auf Wellblech, grundlos mit 45 Umdrehungen."),
        ],
    },
    Product {
        id: 3,
        art: "plant",
        euro_cents: 3200,
        tags: &["home", "green"],
        texts: [
            ("Succulent of Low Expectations", "Thrives on neglect. Comes with a small, forgiving pot."),
            (
                "Vetplant zonder verwachtingen",
                "Gedijt bij verwaarlozing. Met een kleine, vergevingsgezinde pot.",
            ),
            ("Sukkulente ohne Ansprüche", "Gedeiht durch Vergessen. Mit kleinem, nachsichtigem Topf."),
        ],
    },
    Product {
        id: 4,
        art: "bicycle",
        euro_cents: 64900,
        tags: &["outdoors", "steel"],
        texts: [
            ("Fixie, One Opinion", "A single gear, a single brake, and a lot to say about both."),
            ("Fixie met één mening", "Eén versnelling, één rem, en over allebei veel te vertellen."),
            ("Fixie mit Meinung", "Ein Gang, eine Bremse, und zu beiden viel zu sagen."),
        ],
    },
    Product {
        id: 5,
        art: "bottle",
        euro_cents: 2150,
        tags: &["care", "cedar"],
        texts: [
            ("Beard Oil No. 7", "Cedar, smoke and a hint of bookshop. Numbers one to six were worse."),
            ("Baardolie nr. 7", "Ceder, rook en een vleugje boekhandel. Nummer één tot zes waren erger."),
            ("Bartöl Nr. 7", "Zeder, Rauch und ein Hauch Buchladen. Eins bis sechs waren schlimmer."),
        ],
    },
    Product {
        id: 6,
        art: "camera",
        euro_cents: 18900,
        tags: &["analogue"],
        texts: [
            ("Half-frame Camera", "Seventy-two pictures of the same espresso. Film not included, ever."),
            ("Half-frame camera", "Tweeënzeventig foto's van dezelfde espresso. Nooit met film."),
            ("Halbformatkamera", "Zweiundsiebzig Bilder vom selben Espresso. Film liegt nie bei."),
        ],
    },
    Product {
        id: 7,
        art: "jar",
        euro_cents: 1450,
        tags: &["kitchen", "ferment"],
        texts: [
            ("Kombucha Starter", "A friendly culture that needs a name and a warm shelf."),
            ("Kombuchastarter", "Een vriendelijke cultuur die een naam en een warme plank nodig heeft."),
            ("Kombucha-Starter", "Eine freundliche Kultur, die einen Namen und ein warmes Regal braucht."),
        ],
    },
    Product {
        id: 8,
        art: "bag",
        euro_cents: 2800,
        tags: &["canvas"],
        texts: [
            ("Ironic Tote", "Says nothing on both sides. Holds eleven records or one cabbage."),
            ("Ironische tas", "Zegt niets, aan beide kanten. Voor elf platen of één kool."),
            ("Ironischer Beutel", "Sagt nichts, auf beiden Seiten. Fasst elf Platten oder einen Kohl."),
        ],
    },
    Product {
        id: 9,
        art: "typewriter",
        euro_cents: 15900,
        tags: &["analogue", "desk"],
        texts: [
            ("Travel Typewriter", "For novels that begin in cafés and end there too."),
            ("Reisschrijfmachine", "Voor romans die in een café beginnen en daar ook eindigen."),
            ("Reiseschreibmaschine", "Für Romane, die im Café beginnen und dort auch enden."),
        ],
    },
    Product {
        id: 10,
        art: "candle",
        euro_cents: 1990,
        tags: &["home", "wax"],
        texts: [
            ("Candle: Old Library", "Dust, leather and overdue fines, in soy wax."),
            ("Kaars: oude bibliotheek", "Stof, leer en boetes voor te laat, in sojawas."),
            ("Kerze: alte Bibliothek", "Staub, Leder und Mahngebühren in Sojawachs."),
        ],
    },
    Product {
        id: 11,
        art: "lamp",
        euro_cents: 7900,
        tags: &["home", "brass"],
        texts: [
            ("Exposed Bulb, Exposed Feelings", "Brass, a filament, and a dimmer that understands."),
            ("Kale lamp, blote gevoelens", "Messing, een gloeidraad en een dimmer die het begrijpt."),
            ("Nackte Birne, offenes Herz", "Messing, ein Glühfaden und ein Dimmer, der versteht."),
        ],
    },
    Product {
        id: 12,
        art: "shirt",
        euro_cents: 5600,
        tags: &["flannel"],
        texts: [
            ("Lumber Flannel", "Never met a tree. Warm, checked, and brushed on the inside."),
            ("Houthakkersflanel", "Nooit een boom ontmoet. Warm, geruit en vanbinnen geruwd."),
            ("Holzfällerflanell", "Hat nie einen Baum getroffen. Warm, kariert, innen angeraut."),
        ],
    },
];

/// What the store front sells while it has never reached the product service.
pub(crate) const FRUIT: [(u32, &str, [&str; 3], i64); 6] = [
    (9001, "#d64545", ["Apple", "Appel", "Apfel"], 50),
    (9002, "#e8b923", ["Lemon", "Citroen", "Zitrone"], 50),
    (9003, "#b3224b", ["Cherries", "Kersen", "Kirschen"], 300),
    (9004, "#8aa82c", ["Pear", "Peer", "Birne"], 100),
    (9005, "#ef8a1d", ["Orange", "Sinaasappel", "Orange"], 100),
    (9006, "#6c4f9e", ["Plum", "Pruim", "Pflaume"], 50),
];
