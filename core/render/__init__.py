"""What does this user read? Templates compiled once, rendered in bulk."""

from core.render.batch import RenderBatch
from core.render.email_content import EmailContent, compile_email
from core.render.in_app_content import InAppContent, compile_in_app
from core.render.printing import Escape
from core.render.push_content import PushContent, compile_push
from core.render.results import (
    Missing,
    MissingProperty,
    Rendered,
    RenderedEmail,
    RenderedInApp,
    RenderedPush,
    RenderedSms,
    RenderedWebhook,
    RenderError,
    RenderFailed,
    RenderRow,
)
from core.render.sms_content import SmsContent, compile_sms
from core.render.template import Template, compile_template
from core.render.translated import TranslatedContent, check_tags, translated
from core.render.webhook_content import WebhookContent, compile_webhook

Content = EmailContent | InAppContent | PushContent | SmsContent | TranslatedContent | WebhookContent
"""The compiled templates of one channel: `render_batch`, `render_many`, `properties`, `required`, `needs_event`, `requires_event`."""

__all__ = [
    "Content",
    "EmailContent",
    "Escape",
    "InAppContent",
    "Missing",
    "MissingProperty",
    "PushContent",
    "RenderBatch",
    "RenderError",
    "RenderFailed",
    "RenderRow",
    "Rendered",
    "RenderedEmail",
    "RenderedInApp",
    "RenderedPush",
    "RenderedSms",
    "RenderedWebhook",
    "SmsContent",
    "Template",
    "TranslatedContent",
    "WebhookContent",
    "check_tags",
    "compile_email",
    "compile_in_app",
    "compile_push",
    "compile_sms",
    "compile_template",
    "compile_webhook",
    "translated",
]
