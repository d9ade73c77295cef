//! Images on their way: from files, and to other processes.

use std::os::unix::net::UnixStream;

use tine_memory::{ForkMode, Image, PAGE};

fn sent(image: &Image) -> Vec<u8> {
    let (here, there) = UnixStream::pair().unwrap();
    image.send(&here).unwrap();
    Image::receive(&there).unwrap().fork().unwrap().to_vec()
}

#[test]
fn zeros_written_over_an_image_arrive_as_zeros() {
    let mut region = Image::from_bytes(&[1; 100 * PAGE]).unwrap().fork().unwrap();
    region[10 * PAGE..60 * PAGE].fill(0);
    let expected = region.to_vec();
    let sealed = region.seal().unwrap();
    assert!(sent(&sealed) == expected);
    assert!(sent(&sealed.flatten().unwrap()) == expected);
}

#[test]
fn the_image_of_a_region_that_grew_arrives_whole() {
    let mut region = Image::from_bytes(&[1; 100 * PAGE]).unwrap().fork().unwrap();
    region.grow(150 * PAGE + 5).unwrap();
    let expected = region.to_vec();
    assert!(sent(region.image()) == expected);
    region[120 * PAGE] = 3;
    let fork = region.fork_by(ForkMode::Layer).unwrap();
    assert!(sent(fork.image()) == fork[..]);
}

#[test]
fn a_few_bytes_in_a_sea_of_zeros_arrive() {
    let mut bytes = vec![0; 200 * PAGE];
    for at in [0, 50 * PAGE, 120 * PAGE + 7, 121 * PAGE, 199 * PAGE] {
        bytes[at] = 1;
        assert!(sent(&Image::from_bytes(&bytes).unwrap()) == bytes, "{at}");
    }
    assert!(sent(&Image::zeroed(9).unwrap()) == [0; 9]);
}
