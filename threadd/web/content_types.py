"""What a file is, by its name and its first bytes (hub-protocol.md, section 6, "Content type")."""

import mimetypes
from typing import Final

SNIFFED_BYTES: Final = 512

_BINARY: Final = "application/octet-stream"
_TEXT: Final = "text/plain; charset=utf-8"
_PAGE: Final = "text/html; charset=utf-8"

_BY_EXTENSION: Final = {
    "htm": "text/html",
    "html": "text/html",
    "css": "text/css",
    "js": "application/javascript",
    "mjs": "application/javascript",
    "json": "application/json",
    "svg": "image/svg+xml",
    "txt": "text/plain",
    "md": "text/plain",
}
_SIGNATURES: Final = (
    (b"%PDF-", "application/pdf"),
    (b"%!PS-Adobe-", "application/postscript"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
    (b"\x00\x00\x01\x00", "image/x-icon"),
    (b"OggS\x00", "application/ogg"),
    (b"ID3", "audio/mpeg"),
    (b"MThd\x00\x00\x00\x06", "audio/midi"),
    (b"\x1aE\xdf\xa3", "video/webm"),
    (b"wOFF", "font/woff"),
    (b"wOF2", "font/woff2"),
    (b"OTTO", "font/otf"),
    (b"\x00\x01\x00\x00", "font/ttf"),
    (b"\x1f\x8b\x08", "application/x-gzip"),
    (b"PK\x03\x04", "application/zip"),
    (b"\x00asm", "application/wasm"),
)
_CONTAINERS: Final = {b"WEBP": "image/webp", b"WAVE": "audio/wave", b"AVI ": "video/avi"}
_TAGS: Final = (
    *(b"<!doctype html", b"<html", b"<head", b"<script", b"<iframe", b"<h1", b"<div", b"<font", b"<table"),
    *(b"<a", b"<style", b"<title", b"<b", b"<body", b"<br", b"<p", b"<!--"),
)
_CONTROLS: Final = bytes(set(range(0x20)) - set(b"\t\n\x0c\r\x1b"))

_names = mimetypes.MimeTypes()


def content_type(name: str, head: bytes) -> str:
    """The media type of a file.

    Args:
        name: Its name; the extension counts first.
        head: Its first `SNIFFED_BYTES` bytes, or all of it.
    """
    extension = name.rpartition(".")[2].lower() if "." in name else ""
    if extension in _BY_EXTENSION:
        return _BY_EXTENSION[extension]
    sniffed = _sniffed(head)
    if sniffed in (_BINARY, _TEXT):
        return _names.guess_type(f"x.{extension}")[0] or sniffed
    return sniffed


def _sniffed(head: bytes) -> str:
    for signature, kind in _SIGNATURES:
        if head.startswith(signature):
            return kind
    if head.startswith(b"RIFF") and head[8:12] in _CONTAINERS:
        return _CONTAINERS[head[8:12]]
    if head[4:8] == b"ftyp":
        return "video/mp4"
    text = head.lstrip(b"\t\n\x0c\r ").lower()
    if any(text.startswith(tag) and text[len(tag) : len(tag) + 1] in (b" ", b">", b"-") for tag in _TAGS):
        return _PAGE
    if text.startswith(b"<?xml"):
        return "text/xml; charset=utf-8"
    return _BINARY if any(byte in _CONTROLS for byte in head) else _TEXT
