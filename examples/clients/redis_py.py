"""Firn through redis-py: pip install redis, then python redis_py.py [PORT]"""

import sys

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
    pipe.execute()
print("keys:", sum(1 for _ in client.scan_iter("number:*", count=100)))


def add_interest(pipe):
    balance = int(pipe.get("balance") or 100)
    pipe.multi()
    pipe.set("balance", balance + balance // 10)


# A transaction with WATCH: it runs again when another client changed the balance meanwhile.
client.transaction(add_interest, "balance")
print("balance:", client.get("balance"))

# This connection waits for the disk at most once a second, whatever the server's default is.
with client.client() as relaxed:
    relaxed.execute_command("CLIENT", "DURABILITY", "everysec")
    relaxed.set("view-count", 1)

client.delete("greeting", "balance", "view-count", *(f"number:{n}" for n in range(1000)))
