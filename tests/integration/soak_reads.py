"""What takes minutes of listing and reading: a directory of 100,000 objects, a tree of 2,000 builds,
and a store that says nothing any more. For tools/soak."""

import concurrent.futures
import errno
import os
import time

import pytest

from bench.usage import peak_rss, rss
from mounted import PLAIN, wait_until
from servers import faults
from test_listings import PAGE, asked, front, listings, through     # pylint: disable=unused-import

MIB = 1 << 20
COUNT = 100000
BUILDS = ["branch-%02d/%07x" % (at % 40, at) for at in range(2000)]
ENTRY_BYTES = 1000      # that a listed object may take, in the listing and while the kernel knows it
GIVEN_BACK_S = 300      # listings are kept for 90 seconds, and looked at now and then


@pytest.fixture(scope="module")
def large(stack):
    """A bucket with one very large directory and a tree of many builds; it goes with the store."""
    s3 = stack.store.client(max_pool_connections=8)
    name = stack.bucket("large")
    keys = ["many/image-%06d.tar" % at for at in range(COUNT)] + \
        ["%s/app-%d.tar" % (build, at) for build in BUILDS for at in range(2)]
    with concurrent.futures.ThreadPoolExecutor(8) as writers:
        list(writers.map(lambda key: s3.put_object(Bucket=name, Key=key, Body=b"x"), keys))
    return name


def test_a_large_directory_costs_its_pages(front, mount, large):    # noqa: F811
    there = through(front, mount, bucket=large)
    lines = there.run("ls", "-l", "many", timeout_s=300).stdout.splitlines()
    assert len([line for line in lines if ".tar" in line]) == COUNT
    root_pages = 1
    assert len(asked(front)) == COUNT // PAGE + root_pages


def test_a_tree_of_builds_costs_a_listing_each_and_mints_nothing(front, mount, large):  # noqa: F811
    there = through(front, mount, bucket=large)
    found = there.sh("find branch-* -name '*.tar'", timeout_s=300).stdout.splitlines()
    assert len(found) == 2 * len(BUILDS)
    first, pages = listings(front)
    assert len(first) == len(set(first)) == pages == 1 + 40 + len(BUILDS)
    assert len(asked(front)) == pages


def test_memory_of_a_large_listing_is_given_back(mount, large):
    there = mount(bucket=large, program=PLAIN)
    before = rss(there.pid)
    assert len(there.run("ls", "-l", "many", timeout_s=300).stdout.splitlines()) > COUNT
    peak = peak_rss(there.pid)
    assert peak <= before + COUNT * ENTRY_BYTES
    with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as caches:
        caches.write("2")       # the kernel forgets its entries
    wait_until(lambda: rss(there.pid) <= before + 8 * MIB, GIVEN_BACK_S, "memory that is given back")
    print("%d MB before, %d at most, %d in the end" % tuple(
        size / 1e6 for size in (before, peak, rss(there.pid))))


@pytest.mark.parametrize("when", ["before", "middle"])
def test_a_store_that_stalls_for_ever_ends_a_read(mount, s3, bucket, store, proxy, when):
    s3.put_object(Bucket=bucket, Key="b/x.tar", Body=bytes(MIB))
    line = proxy(store.endpoint)
    there = mount(endpoint=line.url, sts_endpoint=store.endpoint, stall_timeout=1)
    os.listdir(there.path / "b")
    line.inject(faults.Stall(when), "GET", "/b/x.tar$", count=None)
    file = os.open(there.path / "b/x.tar", os.O_RDONLY | os.O_DIRECT)
    started = time.monotonic()
    with pytest.raises(OSError) as caught:
        os.pread(file, MIB, 0)
    os.close(file)
    assert caught.value.errno == errno.ETIMEDOUT
    print("ended after %.0f s and %d requests" % (time.monotonic() - started,
                                                  len(line.seen("GET", "/b/x.tar$"))))
    assert "stalled" in there.log()
