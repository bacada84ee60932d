//! The programs of the images, as a container runs them: no arguments, settings from the environment.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

/// A program that ends with the test.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(program: &str, environment: &[(&str, &str)]) -> (Program, String) {
    let mut child = Command::new(program)
        .env_clear()
        .envs(environment.iter().copied())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let log = BufReader::new(child.stderr.take().expect("piped"));
    let program = Program(child);
    let line = log.lines().map_while(Result::ok).find(|line| line.contains(" listens ")).expect("it listens");
    let address = line.split_once("address=").expect("an address").1;
    let address = address.split(' ').next().expect("an address").to_owned();
    (program, address)
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it accepts");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn the_environment_says_which_version_it_is() {
    let bind = ("SAVA_BIND", "127.0.0.1:0");
    let (_product, address) = start(env!("CARGO_BIN_EXE_sava-product"), &[bind, ("VERSION", "2.0.1")]);
    let answer = get(&address, "/products/ie");
    assert!(
        answer.contains("x-sava-version: 2.0.1") && answer.contains("application/vnd.sava.v2+json"),
        "{answer}"
    );

    let products = ("SAVA_PRODUCT_URL", format!("http://{address}"));
    let (_cart, address) = start(
        env!("CARGO_BIN_EXE_sava-cart"),
        &[bind, ("VERSION", "1.0.5"), ("LOCALE", "IE"), (products.0, &products.1)],
    );
    let answer = get(&address, "/");
    assert!(
        answer.contains("x-sava-version: 1.0.5") && answer.contains("x-sava-products: live 2.0.1"),
        "{answer}"
    );
}

#[test]
fn a_mistake_ends_the_program_with_its_reason() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_sava-cart")).env_clear().env("LOCALE", "XX").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(log.contains("choose one of IE, UK"), "{log}");
}
