"""Tokens of the ``auth: jwt`` cases, valid until 2100; their private keys were thrown away."""

from __future__ import annotations

from typing import Any

ISSUER = "https://issuer.example"
AUDIENCE = "https://shop.example/orders"

#: Key set of the issuer.
JWKS: dict[str, Any] = {
    "keys": [
        {
            "kty": "RSA",
            "kid": "conformance-1",
            "use": "sig",
            "alg": "RS256",
            "n": (
                "qKhewxW3Fyp5znUHbmuvd-_u4C1HvZYMTC2fdBQS4-COfBmoggWJyeLl3XJ7NYKkYTdeq-RZ"
                "jl8U70TNvqVZ49ca99H5ocrTJ5FL9hPChzrm2bHnS8NVO56EOd9XpkOs7IDOd4397Pb9umph"
                "4B5fYgiZuJ0c33c9BWF_KQWMVkFPFfpxX_Z3JrjKyM4H8TYuCsiwNO26sw9U8NADe1ABLAHQ"
                "KnojWMNFb8HcYX-9c4L-vsQBo_20VI7cz9lUs-fcckvs6AFlrfkzTOkATH9PnI4FXIkBb6VO"
                "l1uwDPJ1cWN6KgW9_34mIWXysYNtfSZRZ2sD5myie73ZLvOrBYXXBw"
            ),
            "e": "AQAB",
        }
    ]
}

VALID = (
    "eyJhbGciOiJSUzI1NiIsImtpZCI6ImNvbmZvcm1hbmNlLTEiLCJ0eXAiOiJKV1QifQ.eyJpc3MiOiJodHRwczovL"
    "2lzc3Vlci5leGFtcGxlIiwiYXVkIjoiaHR0cHM6Ly9zaG9wLmV4YW1wbGUvb3JkZXJzIiwic3ViIjoiY3VzdG9tZ"
    "XItNyIsImV4cCI6NDEwMjQ0NDgwMCwiaWF0IjoxNzAwMDAwMDAwLCJzY29wZSI6Im9yZGVyczpyZWFkIG9yZGVyc"
    "zp3cml0ZSJ9.EyXCBHi_xSqJdWcozSqyTPE8FZ7LU0NHcwlXlPdibhWNCi18_WEhyTNXXcjWZewddL4UXzOWCdm4"
    "-_nmfs0m_ammXoNGhAh9YuDHNW3dbPFiNbDewci9-GsuwEgSs-"
    "FewOCF42cYjebSWYHPGtZfNTvk2W3Axz4KN8dL3Axbz9BLGuPW9EY5g-ysWc7ACiT6rn1rfSdCx-EH8uuPYAH-"
    "UjlsubW1J3XHdVz-gg5cZkaZl2jzeBFilnjQfa5MQO4Q8FyuIH-"
    "lDQ33PnL0-8HMZ9qdKvEIztHhT18BV9Rj1ZzttcSmET9uJHAdh68sQtaUx5o7jI6JNSBCA8Wbk02j0Q"
)
EXPIRED = (
    "eyJhbGciOiJSUzI1NiIsImtpZCI6ImNvbmZvcm1hbmNlLTEiLCJ0eXAiOiJKV1QifQ.eyJpc3MiOiJodHRwczovL"
    "2lzc3Vlci5leGFtcGxlIiwiYXVkIjoiaHR0cHM6Ly9zaG9wLmV4YW1wbGUvb3JkZXJzIiwic3ViIjoiY3VzdG9tZ"
    "XItNyIsImV4cCI6MTcwMDAwMDA2MCwiaWF0IjoxNzAwMDAwMDAwLCJzY29wZSI6Im9yZGVyczpyZWFkIG9yZGVyc"
    "zp3cml0ZSJ9.bASvPqXea1CONUGqgTwfymKK-"
    "wzZ5PfnwvfWcxqUy41N_i1VxqFxxr3yi8_G2nOslgrMPMONMEBAjyahc-DZ3S_pIJKY6imLt-dMx-"
    "FEfo82suWcnQrnhovCXhBr28-JXnhraPfKfMlASDf-"
    "HmcsnFIs_iX1jYHT47Vh2ZXHFDO8gzQ0-Hd9p7YF4YukFDYNTayMMLU-et0cG7TOXGz70vDpsaGLjJ-XVKfVBXmz"
    "JNIZQNPwfaE4tM3YcOUca1iknOefDis1XmHhUO9z8UDIMX3T4xdA4CYjW7094Flj7PmusA7IHtgfFYG2yAwYJZla"
    "O0oCrU7ds-PjX8xXFv-utg"
)
OTHER_AUDIENCE = (
    "eyJhbGciOiJSUzI1NiIsImtpZCI6ImNvbmZvcm1hbmNlLTEiLCJ0eXAiOiJKV1QifQ.eyJpc3MiOiJodHRwczovL"
    "2lzc3Vlci5leGFtcGxlIiwiYXVkIjoiaHR0cHM6Ly9vdGhlci5leGFtcGxlIiwic3ViIjoiY3VzdG9tZXItNyIsI"
    "mV4cCI6NDEwMjQ0NDgwMCwiaWF0IjoxNzAwMDAwMDAwLCJzY29wZSI6Im9yZGVyczpyZWFkIG9yZGVyczp3cml0Z"
    "SJ9.F4JBA2-pRV-udvG4Nb5hAMpAjcvdLq0ZK_EETgi2eIalcfQDRNz8kge-"
    "RSeE4Krl3dEX4Fj0TuPcpTiKvPeWHufUDVzigpJFKv_HqLGJXqBkLRKUQhEP7CuIS-"
    "hI4aY_U8Ny_MV9FXlfXLav_DB2h47Dv2xOwkvNJES3hAxH9MVzeuQm2d-e6arOLXW-dfoPUcE7BlHax4JbmgE2md"
    "KCoy5etFHX7sEPpeP0_7z6ewpnbTMOwGjI-"
    "E15nXgEXpDYQBu5fGOZZzzpIySplF4f4FZysNKP8mPylzsDxNzyGnNIe28KGCGjXzJ92h7WFRjImJ5x4covWrm5i"
    "vdMWMFcdg"
)
OTHER_ISSUER = (
    "eyJhbGciOiJSUzI1NiIsImtpZCI6ImNvbmZvcm1hbmNlLTEiLCJ0eXAiOiJKV1QifQ.eyJpc3MiOiJodHRwczovL"
    "2V2aWwuZXhhbXBsZSIsImF1ZCI6Imh0dHBzOi8vc2hvcC5leGFtcGxlL29yZGVycyIsInN1YiI6ImN1c3RvbWVyL"
    "TciLCJleHAiOjQxMDI0NDQ4MDAsImlhdCI6MTcwMDAwMDAwMCwic2NvcGUiOiJvcmRlcnM6cmVhZCBvcmRlcnM6d"
    "3JpdGUifQ.kK8vTU4fhmkKEz2CpvMO7QtnDKbpW5THm9OGhOqRb3PCyHFutlBrdyRGrlt1Aq-"
    "FXuskGNnEypbCfWrxMH-ghwU8L4fPx_wCwrSPD3HjJdc8Y7xoq3BCiM0N-UxATC_eR43dEZM-xwyKOvdFU4yD9ta"
    "cjypLQNSKHHTifpoxhJWbQgWxz3xAdhsTACYd_MRDm8rbgQU7lbwJWF4_XBukwBIT6rBjn4ZRLhkPMj8YYJErvPR"
    "GUE-Ja_FKJJfnJw0rhDw2oA27I349xv2CXBpNdN5LPyJPNmw_9691lPaahRLM9aLaAngQWKvDTnB9jxC347TDDuJ"
    "1_m5rWsb2YWxPXg"
)
NO_SCOPE = (
    "eyJhbGciOiJSUzI1NiIsImtpZCI6ImNvbmZvcm1hbmNlLTEiLCJ0eXAiOiJKV1QifQ.eyJpc3MiOiJodHRwczovL"
    "2lzc3Vlci5leGFtcGxlIiwiYXVkIjoiaHR0cHM6Ly9zaG9wLmV4YW1wbGUvb3JkZXJzIiwic3ViIjoiY3VzdG9tZ"
    "XItNyIsImV4cCI6NDEwMjQ0NDgwMCwiaWF0IjoxNzAwMDAwMDAwLCJzY29wZSI6Im9yZGVyczpyZWFkIn0.Owxkh"
    "1Mj08oYfzSByGQL8QpiDuAcEgqw-XHqfKxiQh0igih4KKerHcn89veZUugQk6q7DNouPMEPBln95KIyUutu31xnl"
    "HEJPciJ5k2F2pju2IUmL8-974oUs9kDmyakUjEj4__DN9UWVY1WxX5NXXFyowBl-TjPEyKs1PS_Mknyw_ihiNtnT"
    "JFM4uIf_7dYfgx4wg9VN24YKTPr-"
    "U5rLzVnNYgQeFIKL1QMVqMAUaeimJ34kXqJYRp27lbeJ6PcFIq7UMmM1YOjIQps3qHUsn7JhbO1LWm0iy5MqgcDB"
    "aGuqHJhl5sEQCGtAAG21MmWHpcLiUrw1r5SGHNXorVqYg"
)
FORGED = (
    "eyJhbGciOiJSUzI1NiIsImtpZCI6ImNvbmZvcm1hbmNlLTEiLCJ0eXAiOiJKV1QifQ.eyJpc3MiOiJodHRwczovL"
    "2lzc3Vlci5leGFtcGxlIiwiYXVkIjoiaHR0cHM6Ly9zaG9wLmV4YW1wbGUvb3JkZXJzIiwic3ViIjoiY3VzdG9tZ"
    "XItNyIsImV4cCI6NDEwMjQ0NDgwMCwiaWF0IjoxNzAwMDAwMDAwLCJzY29wZSI6Im9yZGVyczpyZWFkIG9yZGVyc"
    "zp3cml0ZSJ9.N2QUA_rx3xxmUGbdAyUv_j601rfBbEOUIIZe_pjfx3MwRV7dPK4UY7vPZfoTEXdkQa4qLZ_5AxS1"
    "X35k_xvGgBykAg43mBjO5gj8tmRSTERtcHCRG71n-bjKWrp0mdXfzLOUxMnGl6-"
    "1YVpLRRxxT1syoKhHaxWL9lYA35FjOsv9c0pTrzkfzsTu3rv8dQjk9tk9a1RkmUTHvLk3P8BvsxPnaamgPDw3pTv"
    "UtVvGn3ZQoHUc9kyoJvo6gBZIHpPsSKJ1kaPhBLVOZ6PXYRqv8wbiRzM8OjVUe0G00uAB_pTxd4EmIJZaolo8bHD"
    "Lc5N-DQ2r2rHQWkcrtOSHLvabLA"
)
NO_EXPIRY = (
    "eyJhbGciOiJSUzI1NiIsImtpZCI6ImNvbmZvcm1hbmNlLTEiLCJ0eXAiOiJKV1QifQ.eyJpc3MiOiJodHRwczovL"
    "2lzc3Vlci5leGFtcGxlIiwiYXVkIjoiaHR0cHM6Ly9zaG9wLmV4YW1wbGUvb3JkZXJzIiwic3ViIjoiY3VzdG9tZ"
    "XItNyIsImlhdCI6MTcwMDAwMDAwMCwic2NvcGUiOiJvcmRlcnM6cmVhZCBvcmRlcnM6d3JpdGUifQ.EUMd6C_GL4"
    "EIXD-WccFamSe5JP6UNWf_gP-"
    "ZSHooxSP4wCR68C8NwrMHScZp0CHFx50Qs0tQ30E0LAqAyePxLEyDguqIjv__bzQDcfVfFECFhzrr-"
    "ISXC8Z_8CYMo2ypEgYdL4L7v6P4XoJP2zjSVxqr1QmyNsF2w8hnkJxMbYcF_HCF2e7cArwcguGQc9yxbrQeeP-lo"
    "FIcRvfYJt1xFEgXRE8ju5J1kFnms4hbM9_w3Dz6Ay50f8gNUVl8JLcRgl8KLXNxDXnEUTczNMuKH7jJdUdSs3g-"
    "xqAPp3yja66aDporxAKBX97bnfc3e4KK3uJRENdnb7yhYNQ2tbYVEQ"
)
NOT_YET = (
    "eyJhbGciOiJSUzI1NiIsImtpZCI6ImNvbmZvcm1hbmNlLTEiLCJ0eXAiOiJKV1QifQ.eyJpc3MiOiJodHRwczovL"
    "2lzc3Vlci5leGFtcGxlIiwiYXVkIjoiaHR0cHM6Ly9zaG9wLmV4YW1wbGUvb3JkZXJzIiwic3ViIjoiY3VzdG9tZ"
    "XItNyIsImV4cCI6NDEwMjQ0NDgwMCwiaWF0IjoxNzAwMDAwMDAwLCJzY29wZSI6Im9yZGVyczpyZWFkIG9yZGVyc"
    "zp3cml0ZSIsIm5iZiI6NDEwMjQ0NDAwMH0.mrNbssR9uPwfI1rawqoMCArqmGX2OA8CtJwQFxWuxMigbFl0X7G9Z"
    "wXPeDMnzUd16umTsrSuVF-KxeaNW9i4LqGBmSKgN6Bq41z_B49p32vYJNAFHb-dFU_fe_ctxnRVsI-"
    "WACOeQWhlbdQeV-nkU3ycG_SbGYeqM5va1RpGBvcr_6d6EsiyH-CkLoRzCBSJJ0bxbB5hqIWogGH7KKpvUY5swg8"
    "rQXY9qXNX3QO4-j7O7LYM3-"
    "ZoPnHVOEl74oCC4ZX4uk3gbuJPSyOKTMeqSfYVK_1ikxxeXXCHCBD2woYM8qCgL_4UZoVbtOJEt0-"
    "kw8ZMSFnew4zNdA8B_NQ7IQ"
)
UNSIGNED = (
    "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwiYXVkIjoi"
    "aHR0cHM6Ly9zaG9wLmV4YW1wbGUvb3JkZXJzIiwic3ViIjoiY3VzdG9tZXItNyIsImV4cCI6NDEwMjQ0NDgwMCwi"
    "aWF0IjoxNzAwMDAwMDAwLCJzY29wZSI6Im9yZGVyczpyZWFkIG9yZGVyczp3cml0ZSJ9."
)
