//! The pages, as text. Everything that comes from outside passes [`escape`].

use std::fmt::Write as _;

use super::Buyer;
use super::art;
use super::basket::{Basket, MAX_QUANTITY};
use super::shelf::{Item, Source, Stock};
use super::texts::{self, Texts};
use crate::catalogue::Locale;
use crate::money::Cents;
use crate::settings::major;

const STYLE: &str = include_str!("style.css");

/// A store front of some version in some locale.
#[derive(Debug)]
pub(super) struct Shop {
    pub(super) version: String,
    pub(super) locale: &'static Locale,
}

/// The navigation entry that a page belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Products,
    Cart,
    Elsewhere,
}

impl Shop {
    fn texts(&self) -> &'static Texts {
        texts::of(self.locale.language)
    }

    /// From version 2 on the shop looks different, so that a release can be seen.
    fn is_new(&self) -> bool {
        major(&self.version).is_none_or(|major| major >= 2)
    }

    /// The front page.
    pub(super) fn products(&self, stock: &Stock, basket: &Basket) -> String {
        let t = self.texts();
        let look = usize::from(self.is_new());
        let mut main = format!("<h1>{}</h1><p class=lead>{}</p>", t.headline[look], t.intro[look]);
        main.push_str(&self.note(&stock.source));
        main.push_str("<ul class=grid>");
        for item in stock.items.iter() {
            let title = escape(&item.title);
            let _ = write!(
                main,
                "<li class=card>{art}<div class=body><h2>{title}</h2><p>{description}</p><form class=buy method=post action=/cart/add><span class=money>{price}</span><input type=hidden name=id value={id}><button>{add}<span class=sr>: {title}</span></button></form></div></li>",
                art = art::svg(&item.art),
                description = escape(&item.description),
                price = self.money(item.price, &item.currency),
                id = item.id,
                add = t.add,
            );
        }
        main.push_str("</ul>");
        self.page(t.products, Place::Products, basket, &stock.source, &main)
    }

    /// The cart.
    pub(super) fn cart(&self, stock: &Stock, basket: &Basket) -> String {
        let t = self.texts();
        let lines = lines(stock, basket);
        let mut main = format!("<h1>{}</h1>{}", t.cart, self.note(&stock.source));
        if lines.len() < basket.lines().count() {
            let _ = write!(main, "<p class=note>{}</p>", t.gone);
        }
        if lines.is_empty() {
            let _ =
                write!(main, "<p class=lead>{}</p><p><a class=button href=/>{}</a></p>", t.empty, t.browse);
            return self.page(t.cart, Place::Cart, basket, &stock.source, &main);
        }
        main.push_str("<ul class=lines>");
        for (item, quantity) in &lines {
            let title = escape(&item.title);
            let _ = write!(
                main,
                "<li>{art}<div><h2>{title}</h2><div class=each>{each} <span class=sr>{price_word}</span></div></div><div class=money><span class=sr>{sum_word} </span>{sum}</div><div class=forms><form method=post action=/cart/update><input type=hidden name=id value={id}><label class=sr for=q{id}>{quantity_word}: {title}</label><input id=q{id} type=number name=quantity min=0 max={MAX_QUANTITY} value={quantity} required><button class=plain>{update}<span class=sr>: {title}</span></button></form><form method=post action=/cart/update><input type=hidden name=id value={id}><input type=hidden name=quantity value=0><button class=plain>{remove}<span class=sr>: {title}</span></button></form></div></li>",
                art = art::svg(&item.art),
                each = self.money(item.price, &item.currency),
                price_word = t.price,
                sum_word = t.sum,
                sum = self.money(times(item.price, *quantity), &item.currency),
                id = item.id,
                quantity_word = t.quantity,
                update = t.update,
                remove = t.remove,
            );
        }
        let _ = write!(
            main,
            "</ul>{}<p class=end><a class=\"button plain\" href=/>{}</a><a class=button href=/checkout>{}</a></p>",
            self.total(&lines),
            t.browse,
            t.checkout
        );
        self.page(t.cart, Place::Cart, basket, &stock.source, &main)
    }

    /// The checkout form; `missing` names the fields that have to be mended.
    pub(super) fn checkout(&self, stock: &Stock, basket: &Basket, buyer: &Buyer, missing: &[&str]) -> String {
        let t = self.texts();
        let lines = lines(stock, basket);
        let mut main = format!(
            "<h1>{}</h1>{}<div class=two><form method=post novalidate>",
            t.checkout,
            self.note(&stock.source)
        );
        for (name, label, kind, complete, value) in [
            ("name", t.name, "text", "name", &buyer.name),
            ("email", t.email, "email", "email", &buyer.email),
            ("address", t.address, "text", "street-address", &buyer.address),
        ] {
            let bad = missing.contains(&name);
            let (mark, why) = if bad {
                (
                    format!(" aria-invalid=true aria-describedby={name}-why"),
                    format!("<p id={name}-why>{}</p>", t.needed),
                )
            } else {
                Default::default()
            };
            // The first field to mend gets the focus, for those who cannot see where it is.
            let focus = if missing.first() == Some(&name) { " autofocus" } else { "" };
            let _ = write!(
                main,
                "<div class=field><label for={name}>{label}</label><input id={name} name={name} type={kind} autocomplete={complete} maxlength=200 required value=\"{value}\"{mark}{focus}>{why}</div>",
                value = escape(value),
            );
        }
        let _ = write!(
            main,
            "<button>{}</button><p class=hush>{}</p></form><div class=sum><h2>{}</h2><ul>",
            t.order, t.pretend, t.cart
        );
        for (item, quantity) in &lines {
            let _ = write!(
                main,
                "<li><span>{quantity} × {}</span><span class=money>{}</span></li>",
                escape(&item.title),
                self.money(times(item.price, *quantity), &item.currency)
            );
        }
        let _ = write!(main, "</ul>{}</div></div>", self.total(&lines));
        self.page(t.checkout, Place::Elsewhere, basket, &stock.source, &main)
    }

    /// After the order. `order` holds letters and digits only.
    pub(super) fn thanks(&self, order: &str, basket: &Basket) -> String {
        let t = self.texts();
        let mut main = format!("<h1>{}</h1>", t.thanks);
        if !order.is_empty() {
            let _ = write!(main, "<p class=lead>{}: <strong>{}</strong></p>", t.number, escape(order));
        }
        let _ = write!(main, "<p class=hush>{}</p><p><a class=button href=/>{}</a></p>", t.pretend, t.browse);
        self.page(t.checkout, Place::Elsewhere, basket, &Source::Unused, &main)
    }

    /// For addresses that lead nowhere.
    pub(super) fn nothing(&self, basket: &Basket) -> String {
        let t = self.texts();
        let main = format!("<h1>{}</h1><p><a class=button href=/>{}</a></p>", t.lost, t.browse);
        self.page(t.lost, Place::Elsewhere, basket, &Source::Unused, &main)
    }

    /// Says discreetly when products are not fresh.
    fn note(&self, source: &Source) -> String {
        match source {
            Source::Live(_) | Source::Unused => String::new(),
            Source::Cached => format!("<p class=note role=status>{}</p>", self.texts().cached),
            Source::Stub => format!("<p class=note role=status>{}</p>", self.texts().fruit),
        }
    }

    fn money(&self, amount: Cents, currency: &str) -> String {
        escape(&self.locale.money(amount, currency))
    }

    /// One total for each currency; a shop has one, but messages from elsewhere may mix them.
    fn total(&self, lines: &[(&Item, u32)]) -> String {
        let mut sums: std::collections::BTreeMap<&str, i64> = std::collections::BTreeMap::new();
        for (item, quantity) in lines {
            *sums.entry(&item.currency).or_default() += times(item.price, *quantity).0;
        }
        let sums: Vec<String> =
            sums.into_iter().map(|(currency, sum)| self.money(Cents(sum), currency)).collect();
        format!(
            "<p class=total><span>{}</span><strong class=money>{}</strong></p>",
            self.texts().total,
            sums.join(" + ")
        )
    }

    fn page(&self, title: &str, place: Place, basket: &Basket, source: &Source, main: &str) -> String {
        let t = self.texts();
        let current = |here: Place| if here == place { " aria-current=page" } else { "" };
        let look = if self.is_new() { " class=v2" } else { "" };
        let products = match source {
            Source::Live(Some(version)) => format!(" · sava-product {}", escape(version)),
            _ => String::new(),
        };
        format!(
            "<!doctype html><html lang={lang}{look}><head><meta charset=utf-8><meta name=viewport content=\"width=device-width,initial-scale=1\"><meta name=color-scheme content=\"light dark\"><title>{title} · sava</title><link rel=icon href=\"data:,\"><style>{STYLE}</style></head><body><a class=skip href=#main>{skip}</a><header><a class=brand href=/><i></i>sava <small>{tagline}</small></a><nav><ul><li><a href=/{at_products}>{products_word}</a></li><li><a href=/cart{at_cart}>{cart_word} <span class=count>{count}<span class=sr> {pieces}</span></span></a></li></ul></nav></header><main id=main>{main}</main><footer><span>{footer}</span><span>{country} · sava-cart {version}{products}</span></footer></body></html>",
            lang = self.locale.tag(),
            title = escape(title),
            skip = t.skip,
            tagline = t.tagline,
            at_products = current(Place::Products),
            at_cart = current(Place::Cart),
            products_word = t.products,
            cart_word = t.cart,
            count = basket.pieces(),
            pieces = t.pieces,
            footer = t.footer,
            country = self.locale.country,
            version = escape(&self.version),
        )
    }
}

/// The page of a failure on purpose. It needs nothing that could fail, too.
pub(super) fn failure() -> String {
    format!(
        "<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content=\"width=device-width,initial-scale=1\"><title>sava</title><style>{STYLE}</style></head><body><main><h1>That did not work.</h1><p class=lead>This page fails on purpose (SAVA_ERROR_RATE).</p></main></body></html>"
    )
}

/// The lines of a basket that are on the shelf.
fn lines<'a>(stock: &'a Stock, basket: &Basket) -> Vec<(&'a Item, u32)> {
    basket
        .lines()
        .filter_map(|(id, quantity)| Some((stock.items.iter().find(|item| item.id == id)?, quantity)))
        .collect()
}

fn times(price: Cents, quantity: u32) -> Cents {
    Cents(price.0.saturating_mul(i64::from(quantity)))
}

/// Makes text safe between tags and in quoted attributes.
pub(super) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}
