#!/usr/bin/python3
"""The same files and variables give the same credentials as botocore, so as the AWS CLI and boto3.

    credentials_botocore.py DRIVER [WORD]       WORD: only the cases whose name holds it

Each case is a home directory and an environment, handed to DRIVER (credentials_driver.c) and to
botocore. Where botocore finds credentials, ours must be the same; where it fails or finds none, so
must ours, with the sentence that the case names. Servers are fake_aws.py's, which answer by who
asks for what; nothing else can be reached.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

import botocore.credentials
import botocore.session

import fake_aws

KEYS = "aws_access_key_id = AKIA%s\naws_secret_access_key = secret-%s\n"


def keys(name):
    return KEYS % (name.upper(), name)


def process(text, status=0):
    """A credential_process that prints this. {home} is the case's directory."""
    return {"print": "#!/bin/sh\ncat <<'END'\n%s\nEND\necho noise >&2\nexit %d\n" % (text, status)}


GOOD = '{"Version": 1, "AccessKeyId": "AKIAPROCESS", "SecretAccessKey": "s/+=", ' \
       '"SessionToken": "t", "Expiration": "2099-05-06T07:08:09Z"}'
PRINT = "[default]\ncredential_process = {home}/print\n"
ROLE = "role_arn = arn:aws:iam::123456789012:role/%s\n"
BASE = {"credentials": "[base]\n" + keys("base")}
WEB = {"token": "web token"}
WEB_ENV = {"AWS_WEB_IDENTITY_TOKEN_FILE": "{home}/token",
           "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/Web"}
ENV = {"AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": "env"}
IMDS = {"AWS_EC2_METADATA_DISABLED": "false"}


def imds(kind):
    return {**IMDS, "AWS_EC2_METADATA_SERVICE_ENDPOINT": "{url}/imds-" + kind}


def role(text):
    return {**BASE, "config": "[default]\n" + ROLE % "One" + text}


# name: (files, variables, profile as the option names it, a piece of our sentence where it fails)
CASES = {
    # ---- environment and static keys
    "keys in the environment": ({}, ENV, None, None),
    "... with a token": ({}, {**ENV, "AWS_SESSION_TOKEN": "t"}, None, None),
    "... with the token's old name": ({}, {**ENV, "AWS_SECURITY_TOKEN": "t"}, None, None),
    "... go before AWS_PROFILE": (BASE, {**ENV, "AWS_PROFILE": "base"}, None, None),
    "... not before a profile option": (BASE, ENV, "base", None),
    "half a pair in the environment": ({}, {"AWS_ACCESS_KEY_ID": "A"}, None,
                                       "AWS_SECRET_ACCESS_KEY is not"),
    "AWS_PROFILE names nothing": (BASE, {**ENV, "AWS_PROFILE": "nobody"}, None,
                                  'there is no profile "nobody"'),
    "the option names nothing": (BASE, {}, "nobody", 'there is no profile "nobody"'),
    "default profile": ({"credentials": "[default]\n" + keys("d")}, {}, None, None),
    "AWS_DEFAULT_PROFILE": (BASE, {"AWS_DEFAULT_PROFILE": "base"}, None, None),
    "keys in the config file": ({"config": "[profile base]\n" + keys("c")}, {}, "base", None),
    "keys in both files": ({**BASE, "config": "[profile base]\n" + keys("c")}, {}, "base", None),
    "session token in a profile": (
        {"credentials": "[base]\n" + keys("b") + "aws_session_token = tok\n"}, {}, "base", None),
    "quoted profile's name": ({"config": "[profile 'a b']\n" + keys("c")}, {}, "a b", None),
    "nothing at all": ({}, {}, None, "AWS_ACCESS_KEY_ID is not set"),
    # ---- roles
    "role": (role("source_profile = base\n"), {}, None, None),
    "role by AWS_PROFILE": (
        {**BASE, "config": "[profile r]\n" + ROLE % "R" + "source_profile = base\n"},
        {"AWS_PROFILE": "r"}, None, None),
    "role in the credentials file": (
        {"credentials": BASE["credentials"] + "[r]\n" + ROLE % "R" + "source_profile = base\n"},
        {}, "r", None),
    "role with everything": (
        role("source_profile = base\nexternal_id = a+b/c =\nduration_seconds = 1800\n"
             "role_session_name = me@work\n"), {}, None, None),
    "environment's keys go before a role": (role("source_profile = base\n"), ENV, None, None),
    "a role of a role": (
        {**BASE, "config": "[profile a]\n" + ROLE % "A" + "source_profile = b\nexternal_id = xy\n"
                           "[profile b]\n" + ROLE % "B" + "source_profile = base\n"},
        {}, "a", None),
    "a role of a role of a role": (
        {**BASE, "config": "[profile a]\n" + ROLE % "A" + "source_profile = b\n"
                           "[profile b]\n" + ROLE % "B" + "source_profile = c\n"
                           "[profile c]\n" + ROLE % "C" + "source_profile = base\n"},
        {}, "a", None),
    "a role with keys of its own": (
        {"config": "[profile a]\n" + ROLE % "A" + "source_profile = a\n" + keys("a")},
        {}, "a", None),
    "keys go before the role of a source": (
        {"config": "[profile a]\n" + ROLE % "A" + "source_profile = b\n"
                   "[profile b]\n" + ROLE % "B" + "source_profile = nobody\n" + keys("b")},
        {}, "a", None),
    "roles in a circle": (
        {"config": "[profile a]\n" + ROLE % "A" + "source_profile = b\n"
                   "[profile b]\n" + ROLE % "B" + "source_profile = a\n"},
        {}, "a", "leads round in a circle"),
    "a role of itself": ({"config": "[profile a]\n" + ROLE % "A" + "source_profile = a\n"}, {}, "a",
                         "leads round in a circle"),
    "a role of nobody": (role("source_profile = nobody\n"), {}, None,
                         'names a profile that is not in'),
    "a role without a source": (role(""), {}, None, "neither source_profile nor credential_source"),
    "a role with both sources": (
        role("source_profile = base\ncredential_source = Environment\n"), {}, None,
        "both source_profile and credential_source"),
    "a role of an empty profile": (
        {"config": "[default]\n" + ROLE % "A" + "source_profile = b\n[profile b]\nregion = x\n"},
        {}, None, "has no credentials"),
    "a role that is refused": ({**BASE, "config": "[default]\n" + ROLE % "REFUSED" + "source_profile = base\n"},
                               {}, None, "may not assume it"),
    "credential_source = Environment": (
        {"config": "[profile r]\n" + ROLE % "R" + "credential_source = Environment\n"},
        {**ENV, "AWS_SESSION_TOKEN": "t"}, "r", None),
    "credential_source = Environment, and nothing there": (
        {"config": "[profile r]\n" + ROLE % "R" + "credential_source = Environment\n"}, {}, "r",
        "gives none: AWS_ACCESS_KEY_ID is not set"),
    "credential_source = EcsContainer": (
        role("credential_source = EcsContainer\n"),
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "{url}/container"}, None, None),
    "credential_source = Ec2InstanceMetadata": (
        role("credential_source = Ec2InstanceMetadata\n"), imds("v2"), None, None),
    "credential_source = something": (role("credential_source = Elsewhere\n"), {}, None,
                                      "it can be Environment, EcsContainer"),
    "a role of a process": (
        {**process(GOOD), "config": "[default]\n" + ROLE % "A" + "source_profile = p\n[profile p]\n"
                                    "credential_process = {home}/print\n"}, {}, None, None),
    "a role of a web identity": (
        {**WEB, "config": "[default]\n" + ROLE % "A" + "source_profile = w\n[profile w]\n"
                          + ROLE % "W" + "web_identity_token_file = {home}/token\n"},
        {}, None, None),
    # ---- processes
    "process": ({**process(GOOD), "config": PRINT}, {}, None, None),
    "process with quoted arguments": (
        {"args": '#!/bin/sh\nprintf \'{"Version": 1, "AccessKeyId": "%s", "SecretAccessKey": '
                 '"%s"}\' "$1" "$2"\n',
         "config": "[default]\ncredential_process = \"{home}/args\" 'a  b' c\\ d\n"},
        {}, None, None),
    "no shell looks at a process": (
        {"args": '#!/bin/sh\nprintf \'{"Version": 1, "AccessKeyId": "%s", "SecretAccessKey": '
                 '"%s"}\' "$1" "$*"\n',
         "config": "[default]\ncredential_process = {home}/args $HOME ; echo `id` | cat > /dev/null"
                   "\n"}, {}, None, None),
    "keys of the credentials file go before a process": (
        {**process(GOOD), "config": PRINT, "credentials": "[default]\n" + keys("d")}, {}, None,
        None),
    "a process goes before keys of the config file": (
        {**process(GOOD), "config": PRINT + keys("d")}, {}, None, None),
    "process without token and expiry": (
        {**process('{"Version": 1, "AccessKeyId": "A", "SecretAccessKey": "s"}'), "config": PRINT},
        {}, None, None),
    "process that fails": ({**process(GOOD, 7), "config": PRINT}, {}, None, "failed with status 7"),
    "process of another version": (
        {**process(GOOD.replace("1", "2", 1)), "config": PRINT}, {}, None, "of another version"),
    "process without version": (
        {**process(GOOD.replace("Version", "v")), "config": PRINT}, {}, None, "has no version"),
    "process without secret": (
        {**process(GOOD.replace("Secret", "s")), "config": PRINT}, {}, None,
        "has no SecretAccessKey"),
    "process that prints no JSON": ({**process("hello"), "config": PRINT}, {}, None,
                                    "no JSON that can be read"),
    "process that is not there": ({"config": PRINT}, {}, None, "there is no program of that name"),
    "process with an open quote": (
        {"config": "[default]\ncredential_process = a 'b\n"}, {}, None, "has no end"),
    # ---- web identity
    "web identity": (WEB, WEB_ENV, None, None),
    "... with a session's name": (WEB, {**WEB_ENV, "AWS_ROLE_SESSION_NAME": "job-1"}, None, None),
    "... goes before the profile's keys": (
        {**WEB, "credentials": "[default]\n" + keys("d")}, WEB_ENV, None, None),
    "... not before a role": (
        {**WEB, **role("source_profile = base\n")}, WEB_ENV, None, None),
    "... not before a profile option": ({**WEB, **BASE}, WEB_ENV, "base", None),
    "... without a role": (WEB, {"AWS_WEB_IDENTITY_TOKEN_FILE": "{home}/token"}, None,
                           "no role for it: set AWS_ROLE_ARN"),
    "... without the file": ({}, WEB_ENV, None, "token cannot be read: No such file"),
    "... that has expired": ({"token": "stale"}, WEB_ENV, None, "the identity token has expired"),
    "... of a profile": (
        {**WEB, "config": "[profile w]\n" + ROLE % "W" + "web_identity_token_file = {home}/token\n"
                          "role_session_name = me\n"}, {}, "w", None),
    "... half in the environment": (
        {**WEB, "config": "[default]\n" + ROLE % "W"
                          + "web_identity_token_file = /nonexistent\n"},
        {"AWS_WEB_IDENTITY_TOKEN_FILE": "{home}/token"}, None, None),
    # ---- containers
    "container": ({}, {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "{url}/container"}, None, None),
    "container with a token": (
        {}, {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "{url}/container/locked",
             "AWS_CONTAINER_AUTHORIZATION_TOKEN": "container token"}, None, None),
    "container of ECS": ({}, {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/container"}, None, None),
    "container of ECS goes before another": (
        {}, {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/container",
             "AWS_CONTAINER_CREDENTIALS_FULL_URI": "{url}/nowhere"}, None, None),
    "container behind a profile without keys": (
        {"config": "[profile x]\nregion = eu-west-1\n"},
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "{url}/container"}, "x", None),
    "keys go before a container": (
        {"credentials": "[default]\n" + keys("d")},
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "{url}/container"}, None, None),
    "container elsewhere": (
        {}, {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://192.0.2.1/x"}, None,
        "is not asked for credentials over plain http"),
    "container at a metadata address": (
        {}, {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.169.254/x"}, None,
        "is not asked for credentials over plain http"),
    # ---- instances
    "instance": ({}, IMDS, None, None),
    "instance behind an endpoint": ({}, imds("v2"), None, None),
    "instance of version 1": ({}, imds("v1"), None, None),
    "instance out of the token's reach": ({}, imds("far"), None, None),
    "instance by the profile's setting": (
        {"config": "[default]\nec2_metadata_service_endpoint = {url}/imds-v2\n"}, IMDS, None, None),
    "instance without a role": ({}, imds("norole"), None, "the instance has no role"),
    "instance whose role is broken": ({}, imds("refused"), None, "EC2 cannot assume the role"),
    "instance that is switched off": (
        {}, {**imds("v2"), "AWS_EC2_METADATA_DISABLED": "TRUE"}, None,
        "AWS_EC2_METADATA_DISABLED is true"),
    "no instance": ({}, {**IMDS, "AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:1/"}, None,
                    "no EC2 instance's role: "),
    "container goes before the instance": (
        {}, {**imds("v2"), "AWS_CONTAINER_CREDENTIALS_FULL_URI": "{url}/container"}, None, None),
}

TOKEN_FILE = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "{url}/container/locked",
              "AWS_CONTAINER_AUTHORIZATION_TOKEN": "another",
              "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "{home}/token"}
GITHUB = {"ACTIONS_ID_TOKEN_REQUEST_URL": "{url}/github?job=1",
          "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "job token",
          "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/Job"}
SSO = "[profile s]\nsso_session = corp\nsso_account_id = 1\nsso_role_name = r\n"

# What this botocore does not know, or needs a login for: what we find (None: nothing), and a piece
# of the sentence.
OURS = {
    "container of ECS that has no role": (      # botocore asks thrice
        {}, {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/nowhere"}, None, None,
        "the container or pod has no role"),
    "container of EKS": (
        {"token": "container token\n"},
        {**TOKEN_FILE, "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/container/locked"},
        None, "container", None),
    "container's token in a file": ({"token": "container token\n"}, TOKEN_FILE, None, "container",
                                    None),
    "container's token in no file": ({}, TOKEN_FILE, None, None, "cannot be read: No such file"),
    "container's token refused": ({"token": "wrong"}, TOKEN_FILE, None, None,
                                  "the authorization token is refused"),
    "version 1 refused": ({}, {**imds("v1"), "AWS_EC2_METADATA_V1_DISABLED": "true"}, None, None,
                          "AWS_EC2_METADATA_V1_DISABLED is true"),
    "GitHub Actions": ({}, GITHUB, None, 'nobody+None{"Action": "AssumeRoleWithWebIdentity", '
                       '"RoleArn": "arn:aws:iam::123456789012:role/Job", "RoleSessionName": '
                       '"by-default", "Version": "2011-06-15", "WebIdentityToken": '
                       '"identity of the job"}', None),
    "GitHub Actions without a role": (
        {}, {k: v for k, v in GITHUB.items() if k != "AWS_ROLE_ARN"}, None, None,
        "AWS_ROLE_ARN is not set, which this GitHub Actions job could assume"),
    "GitHub Actions without the permission": (
        {}, {"GITHUB_ACTIONS": "true", "AWS_ROLE_ARN": GITHUB["AWS_ROLE_ARN"]}, None, None,
        "lacks the permission id-token: write"),
    "GitHub Actions' token refused": (
        {}, {**GITHUB, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "old"}, None, None,
        "the job's token is refused"),
    "GitHub Actions over plain http": (
        {}, {**GITHUB, "ACTIONS_ID_TOKEN_REQUEST_URL": "http://192.0.2.1/"}, None, None,
        "is no https URL"),
    "Identity Center": ({"config": SSO}, {}, "s", None,
                        "credential_process = aws configure export-credentials --profile s"),
    "MFA": (role("source_profile = base\nmfa_serial = x\n"), {}, None, None, "MFA device"),
    "a duration that is no number": (
        role("source_profile = base\nduration_seconds = long\n"), {}, None, None, "is no number"),
}


def place(home, url, files, variables):
    def fill(text):
        return text.replace("{home}", str(home)).replace("{url}", url)
    for name, text in files.items():
        path = home / name
        path.write_text(text if text.startswith("#!") else fill(text))
        path.chmod(0o700)
    return {
        "HOME": str(home), "PATH": os.environ["PATH"],
        "AWS_CONFIG_FILE": str(home / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(home / "credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",    # nothing here may ask the machine it runs on
        "AWS_ENDPOINT_URL_STS": url + "/sts",
        **({"ASAN_OPTIONS": os.environ["ASAN_OPTIONS"]} if "ASAN_OPTIONS" in os.environ else {}),
        **{name: fill(value) for name, value in variables.items()},
    }


def ask_botocore(environment, profile, url):
    os.environ.clear()
    os.environ.update(environment)
    session = botocore.session.Session(profile=profile)
    create_client = session.create_client
    # This botocore does not know AWS_ENDPOINT_URL_STS.
    session.create_client = lambda name, **given: create_client(
        name, **{**given, "endpoint_url": url + "/sts", "region_name": "us-east-1"})
    try:
        found = session.get_credentials()
        # Newer ones have an account's number behind them.
        return found and tuple(text or "" for text in found.get_frozen_credentials()[:3])
    except Exception as problem:    # its own classes, and Python's for files and programs
        return problem


def ask_driver(driver, environment, profile):
    command = [driver] + ([profile] if profile else [])
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    if result.stderr:
        sys.exit("%s wrote: %s" % (driver, result.stderr))
    lines = result.stdout.split("\n")
    return tuple(lines[:3]) if result.returncode == 0 else lines[0]


def judge(name, ours, theirs, sentence):
    if isinstance(theirs, tuple):
        return ours == theirs and sentence is None
    return isinstance(ours, str) and sentence is not None and sentence in ours


def main():
    fake_aws.inside()
    driver = sys.argv[1]
    word = sys.argv[2] if len(sys.argv) > 2 else ""
    url = fake_aws.start()
    before = dict(os.environ)
    bad = 0
    cases = [(name, case[:3], None, case[3]) for name, case in CASES.items()]
    cases += [(name, case[:3], case[3:], case[4]) for name, case in OURS.items()]
    for name, (files, variables, profile), own, sentence in cases:
        if word not in name:
            continue
        with tempfile.TemporaryDirectory() as directory:
            os.environ.update(before)
            environment = place(pathlib.Path(directory), url, files, variables)
            ours = ask_driver(driver, environment, profile)
            if own is None:
                theirs = ask_botocore(environment, profile, url)
            else:
                theirs = own[0] and fake_aws.keys_for(own[0])
                if theirs and "Action" in own[0]:   # STS's tokens are short
                    theirs = theirs[:2] + (fake_aws.token_hash(theirs[2]),)
        is_good = judge(name, ours, theirs, sentence)
        bad += not is_good
        print("%s %-52s %s" % ("ok  " if is_good else "BAD ", name,
                               ours[0] if isinstance(ours, tuple) else ours))
        if not is_good:
            print("     the other: %r\n     ours: %r" % (theirs, ours))
    print("%d cases, %d bad" % (len(cases), bad))
    return bad != 0


if __name__ == "__main__":
    sys.exit(main())
