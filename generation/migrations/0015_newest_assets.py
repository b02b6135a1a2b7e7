from django.db import migrations, models


class Migration(migrations.Migration):
    """The console lists files by age: without this it sorts all of them for a page."""

    dependencies = [("generation", "0014_sweep_beat")]

    operations = [
        migrations.AddIndex("asset", models.Index(fields=["-created_at"], name="asset_newest")),
    ]
