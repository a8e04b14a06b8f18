"""What is printed has no passwords and no terminal codes."""

import pytest

from ctkd_study.safe_text import visible, without_passwords


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://localhost:5000/api", "http://localhost:5000/api"),
        ("sqlite:////tmp/mlflow.db", "sqlite:////tmp/mlflow.db"),
        ("postgresql://me@db/mlflow", "postgresql://me@db/mlflow"),
        ("postgresql://me:s3cret@db:5432/mlflow", "postgresql://me:***@db:5432/mlflow"),
        ("http://:s3cret@host", "http://:***@host"),
        ("mysql://me:s3/cr@et:x@db/mlflow", "mysql://me:***@db/mlflow"),
        ("postgresql://db/mlflow?user=me&password=s3cret&x=1", "postgresql://db/mlflow?user=me&password=***&x=1"),
        ("mssql://db/x?PWD=s3cret", "mssql://db/x?PWD=***"),
        ("Invalid url: http://me:s3cret@h/x (http://h:1/y)", "Invalid url: http://me:***@h/x (http://h:1/y)"),
        ("no password supplied: retry", "no password supplied: retry"),
        ("postgresql://me@corp:s3cret@db/x", "postgresql://me@corp:***@db/x"),
        ("mssql+pyodbc:///?odbc_connect=UID%3Dme%3BPWD%3Ds3cret", "mssql+pyodbc:///?odbc_connect=UID%3Dme%3BPWD%3D***"),
        ("postgresql://db/x?sslpassword=s3cret", "postgresql://db/x?sslpassword=***"),
        ("mysql://db/x?passwd=s3cret", "mysql://db/x?passwd=***"),
    ],
)
def test_passwords_are_not_shown(text: str, shown: str) -> None:
    assert without_passwords(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("λ = 0.5, T\tµ\n次", "λ = 0.5, T\tµ\n次"),
        ("[red]x[/red] <b> *", "[red]x[/red] <b> *"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("a\rb\x07\x00\x7f\x9b", r"a\rb\x07\x00\x7f\x9b"),
        ("abc\u202efdp.exe", r"abc\u202efdp.exe"),
        ("a\u2028b\ud800\uffff", r"a\u2028b\ud800\uffff"),
    ],
)
def test_control_codes_become_visible(text: str, shown: str) -> None:
    assert visible(text) == shown
    visible(text).encode()
