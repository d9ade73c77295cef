//! The suites: what each needs, and what it does in the branch.

use crate::packages::Program;

pub struct Suite {
    pub name: &'static str,
    pub needs: &'static [Program],
    /// The Debian package whose source has the suite.
    pub source: Option<&'static str>,
    /// Run by `sh -eu` in the mounted branch.
    pub script: &'static str,
}

const fn program(name: &'static str, package: &'static str) -> Program {
    Program { name, package }
}

const MAKE: Program = program("make", "make");
const CC: Program = program("cc", "gcc");
const UNPACK: Program = program("dpkg-source", "dpkg-dev");
const FETCH: Program = program("patch", "patch");

pub const SUITES: &[Suite] = &[
    Suite {
        name: "fsx",
        needs: &[],
        source: None,
        script: r#"
            # With other seeds, or millions of operations, fsx 0.3 comes to allocate nothing at all or to map the
            # file more often than the kernel allows: both fail on every file system.
            printf 'flen = 262144\n[weights]\nclose_open = 1\nread = 10\nwrite = 10\nmapread = 1\nmapwrite = 10\ninvalidate = 1\ntruncate = 5\nfsync = 0.1\nfdatasync = 0.1\nposix_fallocate = 1\npunch_hole = 3\nsendfile = 1\nposix_fadvise = 1\ncopy_file_range = 3\n' > "$BESIDE/fsx.toml"
            for seed in 2 3 5 7 13; do
                echo "seed $seed"
                fsx -N 200000 -S $seed -f "$BESIDE/fsx.toml" -P "$BESIDE" exercised-$seed
            done"#,
    },
    Suite {
        name: "stress-ng",
        needs: &[program("stress-ng", "stress-ng")],
        source: None,
        script: r#"
            for what in access chdir chmod chown copy-file dentry dir dirdeep dirmany dup fallocate fcntl \
                    filename flock fpunch fstat getdent hdd io link lockf lockofd mknod mmap open \
                    readahead rename seek sendfile symlink sync-file touch utime xattr; do
                stress-ng --$what 4 --timeout 10 --temp-path . --verify --oomable
            done
            [ -z "$(ls -A)" ]"#,
    },
    Suite {
        name: "fio",
        needs: &[program("fio", "fio")],
        source: None,
        script: r#"
            # Blocks of one size: fio loses track of blocks of several sizes that overlap, on ext4 too.
            for how in psync:0 libaio:1 mmap:0 io_uring:1; do
                for block in 4k 64k; do
                    fio --name=verified --filename=verified --size=256m --rw=randrw --bs=$block \
                        --verify=crc32c --verify_fatal=1 --do_verify=1 --ioengine=${how%:*} --direct=${how#*:} \
                        --iodepth=8 --serialize_overlap=1 --fsync=64 --io_size=512m
                    rm verified
                done
            done"#,
    },
    Suite {
        name: "lmdb",
        needs: &[program("mdb_load", "lmdb-utils"), program("python3", "python3")],
        source: None,
        script: r#"
            # A dump as mdb_load reads it; its header makes room for all pairs.
            python3 -c 'print("VERSION=3\nformat=print\ntype=btree\nmapsize=1073741824\nHEADER=END")
for n in range(200000): print(" key%d\n value%d" % (n, n * 7919))
print("DATA=END")' > "$BESIDE/pairs"
            for round in 1 2 3; do
                mkdir db; mdb_load -f "$BESIDE/pairs" db
                mdb_dump -p db > "$BESIDE/ours"; mkdir "$BESIDE/db"; mdb_load -f "$BESIDE/pairs" "$BESIDE/db"
                mdb_dump -p "$BESIDE/db" > "$BESIDE/theirs"; cmp "$BESIDE/ours" "$BESIDE/theirs"
                mdb_copy -c db "$BESIDE/copy.mdb" 2>/dev/null || { mkdir "$BESIDE/copy"; mdb_copy -c db "$BESIDE/copy"; }
                mdb_stat -e db; rm -r db "$BESIDE"/db "$BESIDE"/copy*
            done"#,
    },
    Suite {
        name: "rocksdb",
        needs: &[program("db_bench", "rocksdb-tools")],
        source: None,
        script: r#"
            for how in "" "--use_direct_reads=true --use_direct_io_for_flush_and_compaction=true" "--mmap_read=true"; do
                db_bench --db=db --num=200000 --threads=2 --verify_checksum=true --sync=false $how \
                    --benchmarks=fillrandom,overwrite,readrandom,readwhilewriting,compact,verifychecksum
                # Killed while it writes: what it finds afterwards must be whole.
                db_bench --db=db --use_existing_db=true --num=2000000 --sync=true --benchmarks=overwrite & pid=$!
                sleep 5; kill -9 $pid; wait $pid || true
                ldb --db=db checkconsistency
                db_bench --db=db --use_existing_db=true --num=200000 --benchmarks=verifychecksum,readrandom
                rm -r db
            done"#,
    },
    Suite {
        name: "sqlite",
        needs: &[MAKE, CC, UNPACK, FETCH, program("tclsh", "tcl-dev")],
        source: Some("sqlite3"),
        script: r#"
            build=${SOURCE%/source}/build
            if [ ! -x "$build/testfixture" ]; then
                mkdir -p "$build"
                (cd "$build" && "$SOURCE/configure" --with-tcl="$(dirname "$(find /usr/lib -name tclConfig.sh | head -n 1)")" && make testfixture)
            fi
            # The suite expects a user whom permissions concern.
            user=
            [ "$(id -u)" != 0 ] || user="setpriv --reuid=daemon --regid=daemon --clear-groups"
            mkdir -m 777 run; cd run
            # io-5.5 fails on ext4 too: it expects another default page size than Debian's source has.
            $user "$build/testfixture" "$SOURCE/test/veryquick.test" > "$BESIDE/sqlite.out" 2>&1 ||
                grep -qx '!Failures on these tests: io-5.5' "$BESIDE/sqlite.out" || {
                grep -E '^! |errors out of' "$BESIDE/sqlite.out" | tail -n 60; exit 1; }
            tail -n 5 "$BESIDE/sqlite.out""#,
    },
    Suite {
        name: "postgresql",
        needs: &[
            MAKE,
            CC,
            UNPACK,
            FETCH,
            program("bison", "bison"),
            program("flex", "flex"),
            program("perl", "perl"),
        ],
        source: Some("postgresql-15"),
        script: r#"
            build=${SOURCE%/source}/build
            if [ ! -f "$build/built" ]; then
                mkdir -p "$build"
                (cd "$build" && "$SOURCE/configure" --without-readline --without-zlib --without-icu && make -j2 && make -C src/test/regress)
                touch "$build/built"
            fi
            make -C "$build/src/test/regress" temp-install
            user=
            if [ "$(id -u)" = 0 ]; then
                chown -R daemon "$build/src/test/regress"
                user="setpriv --reuid=daemon --regid=daemon --clear-groups"
            fi
            # Server, data and sockets of the suite lie in the branch.
            mkdir -m 777 instance
            $user make -C "$build/src/test/regress" check TEMP_CONFIG= \
                EXTRA_REGRESS_OPTS="--temp-instance=$PWD/instance/data --temp-config=/dev/null" \
                NO_TEMP_INSTALL=yes || { cat "$build/src/test/regress/regression.diffs"; exit 1; }"#,
    },
];
