//! A worker thread gets a clone of a 4K image and draws on it. The original does not change.
//!
//! `cargo run --release -p tine-values --example image`

use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use tine_values::{Seq, Tracker, Value};

const WIDTH: usize = 3840;
const HEIGHT: usize = 2160;

/// Red, green, blue and opacity.
type Pixel = [u8; 4];

const SKY: Pixel = [70, 130, 180, 255];
const SUN: Pixel = [255, 200, 0, 255];

fn main() {
    let original: Seq<Pixel> = (0..WIDTH * HEIGHT).map(|_| SKY).collect();
    let (requests, inbox) = mpsc::channel::<Seq<Pixel>>();
    let worker = thread::spawn(move || {
        let mut image = inbox.recv().expect("the main thread sends one image");
        draw_disc(&mut image, (WIDTH / 2, HEIGHT / 2), 300);
        image
    });

    let start = Instant::now();
    requests.send(original.clone()).expect("the worker waits for the image");
    println!("handed over {} MB in {:?}", original.len() * 4 / 1_000_000, start.elapsed());

    let drawn = worker.join().expect("the worker draws without a panic");
    assert!(original.iter().all(|pixel| *pixel == SKY), "the original is intact");
    assert_eq!(drawn[HEIGHT / 2 * WIDTH + WIDTH / 2], SUN);

    let mut tracker = Tracker::new();
    let first = tracker.add(&original);
    let second = tracker.add(&drawn);
    println!(
        "original {} kB; drawn copy {} kB more",
        first.new_bytes / 1000,
        second.new_bytes / 1000
    );
    println!("{} spans differ, found in the leaves that were copied", original.diff(&drawn).len());
    println!("the copy alone holds {} kB", drawn.usage().exclusive / 1000);
}

fn draw_disc(image: &mut Seq<Pixel>, (x, y): (usize, usize), radius: usize) {
    for row in y - radius..=y + radius {
        let half = (radius * radius - row.abs_diff(y).pow(2)).isqrt();
        for column in x - half..=x + half {
            image.set(row * WIDTH + column, SUN);
        }
    }
}
