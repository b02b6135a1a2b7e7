from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('generation', '0009_poses_views'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='item',
            index=models.Index(condition=models.Q(('finished_at__isnull', False)), fields=['finished_at'], name='item_finished'),
        ),
    ]
