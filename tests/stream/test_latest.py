import threading

from edgedl.stream.latest import Latest


def test_newest_wins_and_drops_are_counted() -> None:
    box: Latest[int] = Latest()
    for i in range(5):
        box.put(i)
    assert box.take(0) == 4
    assert box.dropped == 4
    assert box.take(0) is None


def test_every_item_is_taken_or_counted() -> None:
    box: Latest[int] = Latest()
    done = threading.Event()

    def put_many() -> None:
        for i in range(2000):
            box.put(i)
        done.set()

    threading.Thread(target=put_many).start()
    taken: list[int] = []
    while not (done.is_set() and len(taken) + box.dropped == 2000):
        item = box.take(0.05)
        if item is not None:
            taken.append(item)
    assert taken == sorted(set(taken))
    assert taken[-1] == 1999
