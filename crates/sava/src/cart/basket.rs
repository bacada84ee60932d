//! The cart of a customer, kept in a cookie: `sava_cart=1.2-7.1` is two of product 1 and one of product 7.
//!
//! What comes from a browser is not trusted: unreadable parts are dropped, numbers are bounded, and prices are never
//! in it.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, header};

const COOKIE: &str = "sava_cart";
/// Different products.
const MAX_LINES: usize = 30;
/// Pieces of one product.
pub(super) const MAX_QUANTITY: u32 = 20;

/// Product ids with quantities, in order of id.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Basket(BTreeMap<u32, u32>);

impl Basket {
    /// From the cookies of a request.
    pub(super) fn read(headers: &HeaderMap) -> Self {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs =
            cookies.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(name, _)| *name == COOKIE).map(|(_, text)| Self::parse(text)).unwrap_or_default()
    }

    pub(super) fn parse(text: &str) -> Self {
        let mut basket = Self::default();
        for part in text.split('-').take(MAX_LINES) {
            if let Some((id, quantity)) = part.split_once('.')
                && let (Ok(id), Ok(quantity)) = (id.parse(), quantity.parse())
            {
                basket.add(id, quantity);
            }
        }
        basket
    }

    /// Puts more of a product in, up to the bounds.
    pub(super) fn add(&mut self, id: u32, quantity: u32) {
        let present = self.0.get(&id).copied().unwrap_or(0);
        self.set(id, present.saturating_add(quantity));
    }

    /// Says how many of a product are in; 0 takes it out.
    pub(super) fn set(&mut self, id: u32, quantity: u32) {
        if quantity == 0 {
            self.0.remove(&id);
        } else if self.0.contains_key(&id) || self.0.len() < MAX_LINES {
            self.0.insert(id, quantity.min(MAX_QUANTITY));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Pieces of everything.
    pub(super) fn pieces(&self) -> u32 {
        self.0.values().sum()
    }

    /// Id and quantity of each line.
    pub(super) fn lines(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.0.iter().map(|(id, quantity)| (*id, *quantity))
    }

    pub(super) fn text(&self) -> String {
        let parts: Vec<String> = self.lines().map(|(id, quantity)| format!("{id}.{quantity}")).collect();
        parts.join("-")
    }

    /// The value of `Set-Cookie`. An empty basket takes the cookie away.
    pub(super) fn cookie(&self) -> String {
        let age = if self.is_empty() { 0 } else { 30 * 24 * 60 * 60 };
        format!("{COOKIE}={}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax", self.text())
    }

    /// Looks like an order number, and needs no memory.
    pub(super) fn order_number(&self) -> String {
        let hash = self
            .text()
            .bytes()
            .fold(17_u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(u32::from(byte)));
        format!("S{:06}", hash % 1_000_000)
    }
}
