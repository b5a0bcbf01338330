#!/usr/bin/env python3
"""Reads a text into a session and asks it, with a model that cairn runs.

  ask.py STORE SESSION MODEL [ADAPTER ...] <TEXT
  ask.py STORE SESSION MODEL [ADAPTER ...] -q QUESTION
"""
import argparse
import sys

import cairn


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("store")
    parser.add_argument("session")
    parser.add_argument("model")
    parser.add_argument("adapters", nargs="*")
    parser.add_argument("-q", "--question")
    given = parser.parse_args()
    with cairn.Store(given.store, create=True) as store, \
            cairn.Model(given.model, given.adapters) as model, \
            store.session(given.session, model) as session:
        if given.question is None:
            session.read(sys.stdin.buffer.read())
            print(f"{given.session} has {len(session)} tokens")
        else:
            session.ask(given.question,
                        on_text=lambda piece: print(piece, end="", flush=True))
            print()


if __name__ == "__main__":
    try:
        main()
    except cairn.Error as error:
        sys.exit(f"ask.py: {error}")
