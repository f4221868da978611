"""Prints a SAM template as CloudFormation gets it, to be checked as such: some
mistakes, like resources that wait for each other, show only there.

For the Python that aws-sam-cli is installed in. What SAM's service would read
from the account is made up.
"""

import json
import sys

import boto3
from samcli.yamlhelper import yaml_parse
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

with open(sys.argv[1], encoding="utf-8") as file:
    template = yaml_parse(file.read())
template["Globals"]["Function"]["CodeUri"] = "s3://a-bucket/a-package.zip"
translator = Translator({}, Parser(), boto_session=boto3.Session(region_name="eu-central-1"))
json.dump(translator.translate(template, parameter_values={}), sys.stdout, indent=1)
