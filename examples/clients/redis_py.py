"""Firn through redis-py: pip install redis, then python redis_py.py [PORT]"""

import sys
import threading

import redis

port = int(sys.argv[1]) if len(sys.argv) > 1 else 6379
client = redis.Redis(port=port, protocol=3, decode_responses=True)

# When set() returns, the value is on disk: acknowledged means durable.
client.set("greeting", "hello", ex=3600)
print("greeting:", client.get("greeting"), "for", client.ttl("greeting"), "s")

# A pipeline sends many commands at once; they share one commit.
with client.pipeline(transaction=False) as pipe:
    for number in range(1000):
        pipe.set(f"number:{number}", number)
        pipe.hset("squares", number, number * number)
        pipe.sadd("even" if number % 2 == 0 else "odd", number)
        pipe.zadd("by-digits", {number: len(str(number))})
    pipe.execute()

# Each scan returns what stays exactly once, whatever else happens meanwhile.
print("keys:", sum(1 for _ in client.scan_iter("number:*", count=100)))
print("squares:", sum(1 for _ in client.hscan_iter("squares", match="1*")))
print("odd:", sum(1 for _ in client.sscan_iter("odd")))
print("by digits:", sum(1 for _, digits in client.zscan_iter("by-digits") if digits == 3))
print("types:", sorted(client.scan_iter(_type="zset")))


def add_interest(pipe):
    balance = int(pipe.get("balance") or 100)
    pipe.multi()
    pipe.set("balance", balance + balance // 10)
    pipe.lpush("history", f"{balance} and a tenth")
    pipe.ltrim("history", 0, 9)


# A transaction with WATCH: it runs again when another client changed the balance meanwhile. All of
# it is applied, or nothing of it, also after a crash.
client.transaction(add_interest, "balance")
print("balance:", client.get("balance"), client.lrange("history", 0, -1))


def work():
    with redis.Redis(port=port, decode_responses=True) as worker:
        while (job := worker.blmove("jobs", "running", 5, "LEFT", "RIGHT")) != "stop":
            worker.hincrby("done", job)
            worker.lrem("running", 1, job)


# A worker waits for jobs. Moving one is a single durable step, so none is lost when it dies.
worker = threading.Thread(target=work)
worker.start()
client.rpush("jobs", "wash", "dry", "wash", "stop")
worker.join()
print("done:", client.hgetall("done"))
client.zadd("alarms", {"seven": 7, "six": 6})
print("first alarm:", client.bzpopmin(["none", "alarms"], timeout=1))

# A stream keeps what was read and not acknowledged: a second worker takes over from the first.
client.xgroup_create("orders", "packers", id="$", mkstream=True)
client.xadd("orders", {"item": "tea", "count": 2}, maxlen=1000, approximate=True)
client.xadd("orders", {"item": "cup", "count": 1})
read = client.xreadgroup("packers", "ann", {"orders": ">"}, count=1, block=1000)
[[(_, order)]] = read["orders"]
print("ann packs:", order["item"], "and leaves")
_, taken, _ = client.xautoclaim("orders", "packers", "bob", min_idle_time=0)
print("bob packs:", [fields["item"] for _, fields in taken])
print("done:", client.xack("orders", "packers", *(entry for entry, _ in taken)))

# Places are members of a sorted set.
client.geoadd("cafes", (13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania"))
near = client.geosearch("cafes", longitude=15, latitude=37, radius=100, unit="km")
print("near:", near, client.geodist("cafes", "Palermo", "Catania", unit="km"), "km")

# Fields of a hash may have deadlines of their own.
client.hset("session", mapping={"user": "ada", "token": "secret"})
client.hexpire("session", 60, "token")
print("session:", client.httl("session", "user", "token"))

# Compare and delete: a lock is released by its owner alone.
client.set("lock", "mine", nx=True, ex=30)
print("released:", client.execute_command("DELEX", "lock", "IFEQ", "not mine"), end=" ")
print(client.execute_command("DELEX", "lock", "IFEQ", "mine"))

# This connection waits for the disk at most once a second, whatever the server's default is.
with client.client() as relaxed:
    relaxed.execute_command("CLIENT", "DURABILITY", "everysec")
    relaxed.set("view-count", 1)

client.delete("greeting", "balance", "view-count", *(f"number:{n}" for n in range(1000)))
client.delete("squares", "even", "odd", "by-digits", "history", "running", "done", "alarms")
client.delete("session", "orders", "cafes")
