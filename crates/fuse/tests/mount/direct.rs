//! Direct I/O together with buffered reads.

use std::fs;
use std::process::Command;

use crate::branch::Workshop;
use crate::{Test, tests};

pub const TESTS: &[Test] =
    tests!(direct: buffered_reads_are_never_stale_beside_asynchronous_direct_writes);

/// Writes eight pages at a time, asynchronously and directly, while two processes read pages
/// through the cache; then reads each of them through the cache, and prints how many are not what
/// was written.
const WRITER: &str = r#"
    use strict; use warnings;
    my ($setup, $submit, $get, $mmap, $read, $direct, $path) = @ARGV;
    my ($pages, $depth) = (64, 8);
    open my $cached, "<", $path or die "$!";
    my @readers = map {
        my $pid = fork // die;
        if (!$pid) {
            open my $file, "<", $path or die "$!";
            while (1) { sysseek $file, int(rand $pages) * 4096, 0; sysread $file, my $page, 4096 }
        }
        $pid
    } 1 .. 2;
    sysopen my $file, $path, 2 | $direct or die "$!";
    my $context = pack("Q", 0);
    syscall($setup, $depth, $context) == 0 or die "$!";
    $context = unpack("Q", $context);
    my $buffer = syscall($mmap, 0, 4096 * $depth, 3, 0x22, -1, 0);
    $buffer != -1 or die "$!";
    my ($stale, $end) = (0, time + 3);
    for (my $round = 1; time < $end; $round++) {
        my %chosen;
        $chosen{int(rand $pages)} = 1 while keys %chosen < $depth;
        my @chosen = keys %chosen;
        my @blocks = map {
            pipe my $out, my $in or die;
            syswrite $in, pack("Q", $round);
            my $at = $buffer + $_ * 4096;
            syscall($read, fileno $out, $at, 8) == 8 or die "$!";
            pack("QLlSsLQQqQLL", $_, 0, 0, 1, 0, fileno $file, $at, 4096, $chosen[$_] * 4096, 0, 0, 0)
        } 0 .. $depth - 1;
        my $list = join "", map { pack("P", $_) } @blocks;
        syscall($submit, $context, $depth, $list) == $depth or die "$!";
        my $events = "\0" x (32 * $depth);
        syscall($get, $context, $depth, $depth, $events, 0) == $depth or die "$!";
        for my $page (@chosen) {
            sysseek $cached, $page * 4096, 0;
            sysread $cached, my $found, 8;
            $stale++ if unpack("Q", $found) != $round;
        }
    }
    kill "KILL", @readers;
    print $stale;
"#;

pub fn buffered_reads_are_never_stale_beside_asynchronous_direct_writes() {
    let workshop = Workshop::new();
    let mounted = workshop.mount("main");
    fs::write(mounted.path("file"), vec![0; 64 * 4096]).unwrap();
    let calls = [
        libc::SYS_io_setup,
        libc::SYS_io_submit,
        libc::SYS_io_getevents,
        libc::SYS_mmap,
        libc::SYS_read,
        libc::O_DIRECT.into(),
    ];
    let output = Command::new("perl")
        .args(["-e", WRITER])
        .args(calls.map(|number| number.to_string()))
        .arg(mounted.path("file"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0");
    mounted.close();
}
