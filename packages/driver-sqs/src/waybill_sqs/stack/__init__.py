"""The AWS resources of an application as a CloudFormation template, for `waybill aws template`."""

from .document import to_yaml
from .spec import Stack
from .template import template

__all__ = ["Stack", "template", "to_yaml"]
