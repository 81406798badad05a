"""Plain HTTP of the product: only to say that its sockets are sockets."""

from django.urls import path

from experience.studio.views import no_polling

urlpatterns = [path("socket.io/", no_polling, name="no-polling")]
