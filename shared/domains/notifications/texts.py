"""The texts sent, by template, channel and language. Neutral words: no names, no health."""

from collections.abc import Mapping

from shared.domains.notifications.model import EMAIL, PUSH, RULES, SMS
from shared.domains.notifications.templates import Registry, Text

REGISTRY = Registry()


def _email(name: str, **texts: tuple[str, str]) -> None:
    REGISTRY.register(name, EMAIL, _with_subject(texts))


def _push(name: str, **texts: tuple[str, str]) -> None:
    REGISTRY.register(name, PUSH, _with_subject(texts))


def _sms(name: str, **texts: str) -> None:
    REGISTRY.register(name, SMS, {locale: Text("", body) for locale, body in texts.items()})


def _with_subject(texts: Mapping[str, tuple[str, str]]) -> dict[str, Text]:
    return {locale: Text(*text) for locale, text in texts.items()}


_email(
    "contract_welcome",
    en=("Welcome", "Your plan is set up. It runs from {starts_on} to {ends_on}."),
    de=("Willkommen", "Ihr Vertrag ist eingerichtet. Er läuft vom {starts_on} bis {ends_on}."),
    es=("Te damos la bienvenida", "Tu plan está listo. Va del {starts_on} al {ends_on}."),
    ar=("مرحبًا بك", "تم إعداد خطتك. تبدأ في {starts_on} وتنتهي في {ends_on}."),
)
_email(
    "contract_rejected",
    en=("We need to talk about your order", "Your plan could not be set up. Please contact us."),
    de=(
        "Rückfrage zu Ihrer Bestellung",
        "Ihr Vertrag konnte nicht eingerichtet werden. Bitte melden Sie sich bei uns.",
    ),
    es=("Sobre tu pedido", "No hemos podido preparar tu plan. Ponte en contacto con nosotros."),
    ar=("بخصوص طلبك", "لم نتمكن من إعداد خطتك. يرجى التواصل معنا."),
)
_email(
    "contract_renewed",
    en=("Your plan was renewed", "Your plan goes on. The new term runs until {ends_on}."),
    de=("Ihr Vertrag wurde verlängert", "Ihr Vertrag läuft weiter, nun bis zum {ends_on}."),
    es=("Tu plan se ha renovado", "Tu plan continúa. El nuevo periodo termina el {ends_on}."),
    ar=("تم تجديد خطتك", "خطتك مستمرة. تنتهي المدة الجديدة في {ends_on}."),
)
_email(
    "contract_completed",
    en=("Your plan is complete", "The term of your plan ended. From now on it goes on monthly."),
    de=(
        "Ihr Vertrag ist abgeschlossen",
        "Die Laufzeit Ihres Vertrags ist zu Ende. Er läuft nun monatlich weiter.",
    ),
    es=("Tu plan se ha completado", "El periodo de tu plan terminó. Ahora continúa mes a mes."),
    ar=("اكتملت خطتك", "انتهت مدة خطتك، وستستمر من الآن شهريًا."),
)
_email(
    "contract_cancelled",
    en=("Your plan has ended", "We confirm that your plan was cancelled."),
    de=("Ihr Vertrag ist beendet", "Wir bestätigen die Kündigung Ihres Vertrags."),
    es=("Tu plan ha terminado", "Confirmamos que tu plan se ha cancelado."),
    ar=("انتهت خطتك", "نؤكد إلغاء خطتك."),
)
_email(
    "contract_ends",
    en=("Your cancellation", "We confirm that your plan ends on {ends_on} and will not renew."),
    de=(
        "Ihre Kündigung",
        "Wir bestätigen: Ihr Vertrag endet am {ends_on} und verlängert sich nicht.",
    ),
    es=("Tu cancelación", "Confirmamos que tu plan termina el {ends_on} y no se renovará."),
    ar=("طلب الإلغاء", "نؤكد أن خطتك تنتهي في {ends_on} ولن تُجدَّد."),
)
_email(
    "contract_goes_on",
    en=("Your plan goes on", "We confirm that your cancellation was withdrawn."),
    de=("Ihr Vertrag läuft weiter", "Wir bestätigen, dass Ihre Kündigung zurückgenommen ist."),
    es=("Tu plan continúa", "Confirmamos que tu cancelación se ha retirado."),
    ar=("خطتك مستمرة", "نؤكد سحب طلب الإلغاء."),
)
_email(
    "contract_paused",
    en=("Your plan is paused", "Your plan stands still. You can resume it at any time."),
    de=("Ihr Vertrag ruht", "Ihr Vertrag ist pausiert. Sie können ihn jederzeit fortsetzen."),
    es=("Tu plan está en pausa", "Tu plan está detenido. Puedes reanudarlo cuando quieras."),
    ar=("خطتك متوقفة مؤقتًا", "تم إيقاف خطتك مؤقتًا. يمكنك استئنافها في أي وقت."),
)
_email(
    "contract_resumed",
    en=("Your plan goes on", "Your plan was resumed. It now runs until {ends_on}."),
    de=("Ihr Vertrag läuft wieder", "Ihr Vertrag wurde fortgesetzt und läuft bis {ends_on}."),
    es=("Tu plan continúa", "Tu plan se ha reanudado. Ahora termina el {ends_on}."),
    ar=("خطتك مستمرة", "تم استئناف خطتك. تنتهي الآن في {ends_on}."),
)
_email(
    "contract_changed",
    en=("Your plan was changed", "We confirm the change of your plan."),
    de=("Ihr Vertrag wurde geändert", "Wir bestätigen die Änderung Ihres Vertrags."),
    es=("Tu plan ha cambiado", "Confirmamos el cambio de tu plan."),
    ar=("تم تغيير خطتك", "نؤكد تغيير خطتك."),
)
_email(
    "contract_not_paused",
    en=("Your plan goes on", "Your plan could not be paused and goes on. Please contact us."),
    de=(
        "Ihr Vertrag läuft weiter",
        "Ihr Vertrag konnte nicht pausiert werden und läuft weiter. Bitte melden Sie sich bei uns.",
    ),
    es=(
        "Tu plan continúa",
        "No hemos podido poner tu plan en pausa y continúa. Ponte en contacto con nosotros.",
    ),
    ar=("خطتك مستمرة", "تعذر إيقاف خطتك مؤقتًا، وهي مستمرة. يرجى التواصل معنا."),
)
_email(
    "contract_not_resumed",
    en=(
        "Your plan is still paused",
        "Your plan could not be resumed. Please check your payment method in the portal.",
    ),
    de=(
        "Ihr Vertrag ruht weiterhin",
        "Ihr Vertrag konnte nicht fortgesetzt werden. Bitte prüfen Sie Ihr Zahlungsmittel im "
        "Portal.",
    ),
    es=(
        "Tu plan sigue en pausa",
        "No hemos podido reanudar tu plan. Revisa tu método de pago en el portal.",
    ),
    ar=("خطتك ما زالت متوقفة مؤقتًا", "تعذر استئناف خطتك. يرجى التحقق من وسيلة الدفع في البوابة."),
)
_email(
    "contract_kept",
    en=(
        "Your plan stays as it was",
        "Your plan could not be changed. Please check your payment method in the portal.",
    ),
    de=(
        "Ihr Vertrag bleibt, wie er war",
        "Ihr Vertrag konnte nicht geändert werden. Bitte prüfen Sie Ihr Zahlungsmittel im Portal.",
    ),
    es=(
        "Tu plan sigue como estaba",
        "No hemos podido cambiar tu plan. Revisa tu método de pago en el portal.",
    ),
    ar=("تبقى خطتك كما كانت", "تعذر تغيير خطتك. يرجى التحقق من وسيلة الدفع في البوابة."),
)
_push(
    "contract_news",
    en=("News about your plan", "Open the app to read it."),
    de=("Neues zu Ihrem Vertrag", "Öffnen Sie die App, um es zu lesen."),
    es=("Novedades sobre tu plan", "Abre la aplicación para leerlas."),
    ar=("جديد بشأن خطتك", "افتح التطبيق لقراءته."),
)
_push(
    "payment_received",
    en=("Payment received", "We received {amount}. Thank you."),
    de=("Zahlung erhalten", "Wir haben {amount} erhalten. Vielen Dank."),
    es=("Pago recibido", "Hemos recibido {amount}. Gracias."),
    ar=("تم استلام الدفعة", "استلمنا {amount}. شكرًا لك."),
)
_email(
    "payment_failed",
    en=(
        "Your payment did not go through",
        "We could not collect {amount}. Please check your payment method in the portal.",
    ),
    de=(
        "Ihre Zahlung ist nicht gelungen",
        "Wir konnten {amount} nicht einziehen. Bitte prüfen Sie Ihr Zahlungsmittel im Portal.",
    ),
    es=(
        "Tu pago no se ha realizado",
        "No hemos podido cobrar {amount}. Revisa tu método de pago en el portal.",
    ),
    ar=("لم تتم عملية الدفع", "لم نتمكن من تحصيل {amount}. يرجى التحقق من وسيلة الدفع في البوابة."),
)
_sms(
    "payment_failed",
    en="Your payment of {amount} did not go through. Please check the portal.",
    de="Ihre Zahlung von {amount} ist nicht gelungen. Bitte sehen Sie im Portal nach.",
    es="Tu pago de {amount} no se ha realizado. Consulta el portal.",
    ar="لم تتم عملية دفع {amount}. يرجى مراجعة البوابة.",
)
_email(
    "payment_given_up",
    en=(
        "Your payment is still open",
        "{amount} is still open, and we will not try again by ourselves. Please pay in the portal.",
    ),
    de=(
        "Ihre Zahlung ist noch offen",
        "{amount} sind noch offen. Wir versuchen es nicht erneut; bitte zahlen Sie im Portal.",
    ),
    es=(
        "Tu pago sigue pendiente",
        "Quedan pendientes {amount} y no volveremos a intentarlo. Paga en el portal, por favor.",
    ),
    ar=("دفعتك ما زالت معلقة", "ما زال {amount} مستحقًا ولن نحاول مجددًا. يرجى الدفع عبر البوابة."),
)
_sms(
    "payment_given_up",
    en="{amount} is still open. Please pay in the portal.",
    de="{amount} sind noch offen. Bitte zahlen Sie im Portal.",
    es="Quedan pendientes {amount}. Paga en el portal, por favor.",
    ar="ما زال {amount} مستحقًا. يرجى الدفع عبر البوابة.",
)
_email(
    "data_changed",
    en=("Your data was changed", "Your account data was changed. If it was not you, contact us."),
    de=(
        "Ihre Daten wurden geändert",
        "Ihre Kontodaten wurden geändert. Falls Sie das nicht waren, melden Sie sich bei uns.",
    ),
    es=("Tus datos han cambiado", "Los datos de tu cuenta cambiaron. Si no has sido tú, avísanos."),
    ar=("تم تغيير بياناتك", "تم تغيير بيانات حسابك. إن لم تكن أنت من غيّرها فتواصل معنا."),
)

REGISTRY.check(RULES)
